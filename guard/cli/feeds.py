"""`guard feeds`: the state of each list, and fetching one now.

Asks the running daemon; where none runs it works on the store and the copies itself, and the
kernel follows when a daemon starts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from guard.cli.options import config_option, json_option, print_json, print_rows
from guard.cli.tables import show_table
from guard.lib.clock import now as clock
from guard.lib.durations import format_duration

NO_FEED = "no feed is configured; see docs/feeds.md"


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def feeds(context: click.Context, config: Path | None, as_json: bool) -> None:
    """Show the lists that are followed: entries, age, notice, and what was left out and why."""
    context.obj = config
    if context.invoked_subcommand is not None:
        return
    print_rows(_rows(config), _show, nothing=NO_FEED, as_json=as_json)


@feeds.command()
@click.argument("name", required=False)
@click.option("--dry-run", is_flag=True, help="Fetch and check, and only tell what would change.")
@click.option("--accept", is_flag=True, help="Take a list although it grew or shrank oddly.")
@config_option
@json_option
@click.pass_context
def sync(
    context: click.Context,
    name: str | None,
    dry_run: bool,
    accept: bool,
    config: Path | None,
    as_json: bool,
) -> None:
    """Fetch NAME, or every feed, now, and claim what is on it.

    Never sooner than its owner allows. Exit code 69 when a list could not be had or believed.
    """
    from rich.console import Console
    from rich.progress import Progress

    config = config or context.obj
    console = Console(stderr=True)
    names = [name] if name else [row["name"] for row in _rows(config)]
    answers = []
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("feeds", total=len(names))
        for one in names:
            bar.update(task, description=one)
            answers.append(_sync(config, one, dry_run, accept))
            bar.advance(task)
    for answer in answers:
        if as_json:
            print_json(answer)
        else:
            _told(answer)
    if any(answer["faults"] for answer in answers):
        raise click.exceptions.Exit(69)


@feeds.command()
@click.argument("name")
@config_option
@json_option
@click.pass_context
def forget(context: click.Context, name: str, config: Path | None, as_json: bool) -> None:
    """End all claims of NAME, a feed that is no longer configured. Exit code 1 when it had none.

    A daemon with a store of its own does this when it starts; in a fleet it is for you to say.
    """
    from guard import assemble
    from guard.config import load
    from guard.control import NoDaemon, call

    settings = load(config or context.obj)
    try:
        answer = call(settings.state.meeting, "feeds_forget", feed=name)
    except NoDaemon:
        with assemble.lists_by_hand(settings) as lists:
            answer = lists.forget(name, clock())
    if as_json:
        print_json(answer)
    else:
        click.echo(f"{name}: {answer['went']} networks went")
    if not answer["went"]:
        raise click.exceptions.Exit(1)


def _rows(config: Path | None) -> list[dict[str, Any]]:
    from guard import assemble
    from guard.config import load
    from guard.control import NoDaemon, call

    settings = load(config)
    try:
        rows: list[dict[str, Any]] = call(settings.state.meeting, "feeds")
    except NoDaemon:
        with assemble.lists_by_hand(settings) as lists:
            return lists.rows()
    return rows


def _sync(config: Path | None, name: str, dry_run: bool, accept: bool) -> dict[str, Any]:
    from guard import assemble
    from guard.config import load
    from guard.control import NoDaemon, call

    settings = load(config)
    try:
        answer: dict[str, Any] = call(
            settings.state.meeting, "feeds_sync", feed=name, dry_run=dry_run, accept=accept
        )
    except NoDaemon:
        with assemble.lists_by_hand(settings) as lists:
            collected = lists.collect(name, clock(), accept=accept, dry_run=dry_run)
            return lists.finish(collected, clock(), dry_run=dry_run)
    return answer


def _show(rows: list[dict[str, Any]]) -> None:
    _table(rows)
    for row in rows:
        _details(row)


def _table(rows: list[dict[str, Any]]) -> None:
    now = clock()
    show_table(
        ("FEED", "ACTION", "ENTRIES", "BLOCKS", "LEFT OUT", "DROPPED", "HEARD OF", "NEXT"),
        (
            (
                row["name"],
                row["action"],
                str(row["entries"]),
                str(row["networks"]),
                str(sum(row["removed"].values())),
                "-" if row.get("dropped") is None else str(row["dropped"]),
                "never"
                if row["fetched"] is None
                else format_duration(now - row["fetched"]) + " ago",
                "now"
                if (due := row["next"]) is None or due <= now
                else "in " + format_duration(due - now),
            )
            for row in rows
        ),
    )


def _details(row: dict[str, Any]) -> None:
    """What the table has no room for."""
    lines = [f"fault: {fault}" for fault in row["faults"]]
    if row["held"]:
        lines.append(f"if it is right: guard feeds sync {row['name']} --accept")
    lines += [f"left out: {count} as {why}" for why, count in row["removed"].items()]
    if row["duplicates"]:
        lines.append(f"duplicates: {row['duplicates']}")
    if row["stamp"] is not None:
        lines.append(f"dated {_date(row['stamp'])}")
    lines += [text for text in (row["notice"], row["terms"], row["credit"]) if text]
    if lines:
        click.echo(f"\n{row['name']}")
    for line in lines:
        click.echo(f"  {line}")


def _date(stamp: float) -> str:
    """The source's own time, whatever it wrote."""
    try:
        return f"{datetime.fromtimestamp(stamp, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "nonsense"


def _told(answer: dict[str, Any]) -> None:
    """One line on what a sync did, then what speaks against it."""
    name, now = answer["name"], clock()
    if not answer["asked"]:
        early = answer["earliest"] or 0.0
        wait = f"its owner allows it in {format_duration(early - now)}"
        why = wait if early > now else "another host is at it"
        click.echo(f"{name}: not fetched, {why}; the copy is used")
    verb = "would come" if answer["dry_run"] else "came"
    gone = "would go" if answer["dry_run"] else "went"
    click.echo(f"{name}: {answer['came']} networks {verb}, {answer['went']} {gone}")
    if answer["dry_run"]:
        for sign, key in (("+", "coming"), ("-", "going")):
            for network in answer[key]:
                click.echo(f"  {sign} {network}")
    for fault in answer["faults"]:
        click.echo(f"{name}: {fault}", err=True)
    if answer["held"]:
        click.echo(f"{name}: if that is right: guard feeds sync {name} --accept", err=True)
