"""`guard status`: one look at what the daemon hears, counts and blocks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from guard.cli.bans import ask
from guard.cli.options import config_option, json_option, print_json


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
    """A value in one line: `in set 3, expected 3` for a mapping."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {item}" for name, item in value.items())
    return str(value)


def _table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of one sort, a column for each thing that any of them tells."""
    from rich.console import Console
    from rich.table import Table

    columns = list(dict.fromkeys(key for row in rows for key in row if row[key] not in (None, "")))
    if not columns:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(f"{name} {column}".upper() if column == "name" else column.upper())
    for row in rows:
        table.add_row(*("" if (v := row.get(c)) is None else _words(v) for c in columns))
    console = Console(width=None if sys.stdout.isatty() else 200)
    with console.capture() as shown:
        console.print(table, markup=False)
    click.echo("" if "name" in columns else f"\n{name.upper()}")
    click.echo("\n".join(line.rstrip() for line in shown.get().splitlines()))
