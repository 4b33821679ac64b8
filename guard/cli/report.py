"""`guard report`: what is yet to be reported to AbuseIPDB, and taking a report back.

Asks the running daemon; where none runs it works on the outbox itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guard.cli.options import config_option, json_option, print_json, print_rows
from guard.cli.tables import show_table
from guard.lib.clock import now as clock
from guard.lib.durations import format_duration


@click.group()
def report() -> None:
    """Reports of bans to AbuseIPDB."""


@report.command("list")
@config_option
@json_option
def list_(config: Path | None, as_json: bool) -> None:
    """Show the reports that wait, the worst first."""
    rows = _ask(config, "report_list")
    print_rows(rows, _table, nothing="no report waits", as_json=as_json)


@report.command()
@click.option("--dry-run", is_flag=True, help="Print what would be sent, and send nothing.")
@config_option
@json_option
def send(dry_run: bool, config: Path | None, as_json: bool) -> None:
    """Send now what is due, as far as AbuseIPDB's rules allow.

    Exit code 69 when AbuseIPDB does not take reports now, with the reason.
    """
    answer = _ask(config, "report_send", dry_run=dry_run)
    if as_json:
        print_json(answer)
    elif dry_run:
        for row in answer["would send"]:
            numbers = ",".join(map(str, row["categories"]))
            click.echo(f"would report {row['address']} as {numbers}: {row['comment']}")
        if not answer["would send"]:
            click.echo("no report is due")
    else:
        said = ", ".join(f"{count} {name}" for name, count in answer["told"].items())
        click.echo(f"{said or 'nothing was sent'}; {answer['waiting']} wait")
    if answer["error"] and not dry_run:
        if not as_json:
            click.echo(answer["error"], err=True)
        raise click.exceptions.Exit(69)


@report.command()
@click.argument("address")
@config_option
@json_option
def clear(address: str, config: Path | None, as_json: bool) -> None:
    """Take back what this account reported of ADDRESS, after a mistaken ban.

    Also what waits to be reported of it. Exit code 1 when there was neither.
    """
    answer = _ask(config, "report_clear", address=address)
    if as_json:
        print_json(answer)
    else:
        if answer["dry_run"]:
            click.echo(f"{answer['address']}: dry run, AbuseIPDB was not asked")
        else:
            click.echo(f"{answer['address']}: {answer['deleted']} reports taken back")
        if answer["forgotten"]:
            click.echo("one that waited is forgotten")
    if not answer["deleted"] and not answer["forgotten"]:
        raise click.exceptions.Exit(1)


def _ask(config: Path | None, verb: str, **arguments: Any) -> Any:
    from guard import assemble
    from guard.config import load
    from guard.control import NoDaemon, call

    settings = load(config)
    try:
        return call(settings.state.meeting, verb, **arguments)
    except NoDaemon:
        with assemble.reports_by_hand(settings) as verbs:
            return verbs[verb](now=clock(), **arguments)


def _table(rows: list[dict[str, Any]]) -> None:
    now = clock()
    show_table(
        ("ADDRESS", "CATEGORIES", "BANNED", "DUE", "TRIED", "REPORT"),
        (
            (
                row["address"],
                ",".join(map(str, row["categories"])),
                f"{format_duration(now - row['time'])} ago",
                "now" if row["due"] <= now else f"in {format_duration(row['due'] - now)}",
                str(row["attempts"]),
                f"{row['comment']} ({row['error']})" if row["error"] else row["comment"],
            )
            for row in rows
        ),
        folding=("REPORT",),
    )
