"""`guard status`: one look at what the daemon hears, counts and blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from guard.cli.asking import ask
from guard.cli.options import config_option, json_option, print_json
from guard.cli.tables import show_table
from guard.lib.durations import format_duration


@click.command()
@config_option
@json_option
def status(config: Path | None, as_json: bool) -> None:
    """Show what the running daemon hears, counts and blocks."""
    answer = ask(config, "status")
    if as_json:
        print_json(answer)
        return
    for name, value in answer.items():
        if isinstance(value, list):
            _table(name, value)
        elif value not in (None, "", {}):
            click.echo(f"{click.style(f'{name:<14}', bold=True)} {_words(value)}")


def _words(value: object) -> str:
    """A value in one line: `present 3, expected 3, checked 12s ago` for a mapping."""
    if isinstance(value, Mapping):
        return ", ".join(_word(name, item) for name, item in value.items())
    return str(value)


def _word(name: str, item: object) -> str:
    what = name.removesuffix("_ago").replace("_", " ")
    if what != name.replace("_", " ") and isinstance(item, int | float):
        return f"{what} {format_duration(item)} ago"
    return f"{what} {item}"


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of one sort, a column for each thing that any of them tells."""
    # Of the many limits of a listener those that were met.
    nothing = (None, "", 0) if name == "listener" else (None, "")
    columns = list(dict.fromkeys(key for row in rows for key in row if row[key] not in nothing))
    if not columns:
        return
    titles = [f"{name} {c}".upper() if c == "name" else c.upper() for c in columns]
    click.echo("" if "name" in columns else f"\n{name.upper()}")
    show_table(
        titles,
        [["" if (v := row.get(c)) is None else _words(v) for c in columns] for row in rows],
    )
