"""Options that several commands share."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

config_option = click.option(
    "-c",
    "--config",
    "config",
    type=click.Path(path_type=Path, dir_okay=False, readable=False),
    help="Configuration file [default: /etc/guard/guard.toml if it exists, else safe defaults].",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON on standard output, and nothing else."
)


def print_rows(
    rows: list[dict[str, Any]],
    table: Callable[[list[dict[str, Any]]], None],
    *,
    nothing: str,
    as_json: bool,
) -> None:
    """Rows as JSON, one object a line, or all by `table`; says `nothing` where there are none."""
    if as_json:
        for row in rows:
            print_json(row)
    elif rows:
        table(rows)
    else:
        click.echo(nothing)


def print_json(value: Any) -> None:
    """One JSON document in one line on standard output."""
    click.echo(json.dumps(value))
