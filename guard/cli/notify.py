"""`guard notify`: who is told of bans, how that fares, and a message to try it.

Asks the running daemon for the numbers; the test works on its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from guard.cli.options import config_option, json_option, print_json, print_rows
from guard.cli.tables import show_table
from guard.lib.clock import now as clock
from guard.lib.logs import printable

NOBODY = "nobody is told of bans; see docs/reporting.md"


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def notify(context: click.Context, config: Path | None, as_json: bool) -> None:
    """Show who is told of bans and un-bans, and how that fares."""
    context.obj = (config, as_json)
    if context.invoked_subcommand is not None:
        return
    print_rows(_rows(config), _table, nothing=NOBODY, as_json=as_json)


@notify.command()
@click.argument("name", required=False)
@config_option
@json_option
@click.pass_obj
def test(
    outer: tuple[Path | None, bool], name: str | None, config: Path | None, as_json: bool
) -> None:
    """Send NAME, or everybody, a message that says it is a test, now.

    Exit code 69 when one was not taken, 1 when nobody is configured.
    """
    from guard import assemble
    from guard.config import load
    from guard.reporters.notify.settings import name_of
    from guard.roles import BadInput

    found = assemble.receivers(load(config or outer[0]))
    if not found:
        click.echo(NOBODY, err=True)
        raise click.exceptions.Exit(1)
    chosen = [pair for pair in found if name in (None, name_of(pair[0]))]
    if not chosen:
        known = ", ".join(name_of(item) for item, _ in found)
        raise BadInput(f"there is no notify {name!r}; there are: {known}")
    answers = [_send(item, receiver) for item, receiver in chosen]
    for answer in answers:
        if as_json or outer[1]:
            print_json(answer)
        elif answer["error"]:
            click.echo(f"guard: notify {answer['name']}: {answer['error']}", err=True)
        else:
            click.echo(f"{answer['name']}: taken by {answer['to']}")
    if any(answer["error"] for answer in answers):
        raise click.exceptions.Exit(69)


def _send(item: Any, receiver: Any) -> dict[str, Any]:
    """Tells one; the error is empty when it was taken."""
    from guard.assemble import host_of
    from guard.reporters.notify.notifier import new_id
    from guard.reporters.notify.receivers import Never, NotNow
    from guard.reporters.notify.settings import name_of
    from guard.reporters.notify.values import Notice, Occasion

    now, error = clock(), ""
    what = Notice(event="test", time=now)
    occasion = Occasion(id=new_id(now), host=host_of(item), what=what)
    try:
        receiver.deliver(occasion.id, receiver.body(occasion), now)
    except (NotNow, Never) as failure:
        error = printable(str(failure))
    return {"name": name_of(item), "to": receiver.place, "id": occasion.id, "error": error}


def _rows(config: Path | None) -> list[dict[str, Any]]:
    """As the daemon tells them; without one, what is configured."""
    from guard import assemble
    from guard.config import load
    from guard.control import NoDaemon, call
    from guard.reporters.notify.settings import name_of

    settings = load(config)
    try:
        told = {row["name"]: row for row in call(settings.state.meeting, "status")["notify"]}
    except (NoDaemon, KeyError):
        told = {}
    return [
        {"name": name_of(item), "type": item.type, "to": receiver.place}
        | told.get(name_of(item), {})
        for item, receiver in assemble.receivers(settings)
    ]


def _table(rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    show_table(
        [column.upper() for column in columns],
        ([str(row.get(column, "")) for column in columns] for row in rows),
    )
