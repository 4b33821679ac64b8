"""`guard check`: reads all configuration, prints every fault and every trap."""

from __future__ import annotations

from pathlib import Path

import click

from guard.cli.options import config_option, json_option, print_json


@click.command()
@config_option
@json_option
def check(config: Path | None, as_json: bool) -> None:
    """Read all configuration; print every fault with file and key, and warn of traps."""
    import contextlib
    import sys

    from guard import assemble
    from guard.roles import ConfigError

    faults, warnings = [], []
    try:
        with contextlib.redirect_stdout(sys.stderr):  # policy.py is imported, and may print
            warnings = assemble.check(config)
    except ConfigError as error:
        faults = list(error.faults)
    if as_json:
        rows = [("error", fault) for fault in faults] + [("warning", trap) for trap in warnings]
        for level, row in rows:
            print_json({"level": level, "file": row.file, "key": row.key, "message": row.message})
    else:
        for fault in faults:
            click.echo(f"{click.style('error', fg='red')}: {fault}", err=True)
        for trap in warnings:
            click.echo(f"{click.style('warning', fg='yellow')}: {trap}", err=True)
        if not faults:
            click.echo(f"configuration is good{f', {len(warnings)} warnings' if warnings else ''}")
    raise click.exceptions.Exit(78 if faults else 0)
