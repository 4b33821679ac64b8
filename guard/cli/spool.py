"""`guard spool`: accepted mail that waits for delivery.

Reads the spool's files itself. What it changes, it asks of the process that delivers, through the
same files; where none runs it does it on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.options import config_option, json_option, print_json
from guard.cli.tables import show_table
from guard.lib.clock import now as clock
from guard.lib.durations import format_duration
from guard.lib.logs import printable

if TYPE_CHECKING:
    from guard.mail.waiting import Message, Verb, Waiting

_HEADERS_SHOWN = 16 * 1024
_ID_SHOWN = 16  # the time and some more: enough to be the only one, and every command takes it


@click.group(invoke_without_command=True)
@click.pass_context
@config_option
@json_option
def spool(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Show accepted mail that waits for delivery; try it now, hold it, drop it."""
    ctx.obj = (config, as_json)
    if ctx.invoked_subcommand is None:
        _list(config, as_json=as_json)


@spool.command("list")
@config_option
@json_option
@click.pass_obj
def list_(outer: tuple[Path | None, bool], config: Path | None, as_json: bool) -> None:
    """List what waits, the oldest first."""
    _list(config or outer[0], as_json=as_json or outer[1])


@spool.command()
@click.argument("id_", metavar="ID")
@config_option
@json_option
@click.pass_obj
def show(outer: tuple[Path | None, bool], id_: str, config: Path | None, as_json: bool) -> None:
    """Show one message: envelope, state, headers. ID may be its first letters."""
    waiting = _waiting(config or outer[0])
    message = waiting.load(_one(waiting, id_))
    with waiting.body(message) as file:
        head = file.read(_HEADERS_SHOWN).split(b"\r\n\r\n", 1)[0].decode("utf-8", "replace")
    if as_json or outer[1]:
        print_json({**_row(message), "meta": message.envelope.meta, "headers": head})
        return
    for key, value in _row(message).items():
        click.echo(f"{key}: {_plain(key, value)}")
    for key, text in message.envelope.meta.items():
        click.echo(f"{printable(key)}: {printable(text)}")
    click.echo()
    for line in head.split("\n"):
        click.echo(printable(line.rstrip("\r")))


def _change(verb: Verb, help_: str) -> None:
    @spool.command(verb, help=help_)
    @click.argument("ids", metavar="ID...", nargs=-1)
    @click.option("--all", "everything", is_flag=True, help="All that waits.")
    @config_option
    @json_option
    @click.pass_obj
    def command(
        outer: tuple[Path | None, bool],
        ids: Sequence[str],
        everything: bool,
        config: Path | None,
        as_json: bool,
    ) -> None:
        if bool(ids) is everything:
            raise click.UsageError("give either an ID, or several, or --all")
        waiting = _waiting(config or outer[0])
        chosen = waiting.ids() if everything else [_one(waiting, id_) for id_ in ids]
        _apply(waiting, verb, chosen)
        for id_ in chosen:
            if as_json or outer[1]:
                print_json({"id": id_, "done": verb})
            else:
                click.echo(f"{verb} {id_}")


_change("retry", "Try messages now, and release them if they are held. ID may be first letters.")
_change("hold", "Keep messages, and do not try them until they are released.")
_change("release", "End a hold and try the messages now.")
_change("drop", "Forget messages for good; nobody is told.")


def _waiting(config: Path | None) -> Waiting:
    from guard.config import load
    from guard.mail.waiting import Waiting

    return Waiting(load(config).state.dir / "spool")


def _one(waiting: Waiting, prefix: str) -> str:
    """The one message whose id begins so."""
    # An empty one is a variable of a script that was never set: it must not drop anything.
    found = [id_ for id_ in waiting.ids() if prefix and id_.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} messages begin" if found else "no message begins"
    click.echo(f"guard: {many} with {printable(prefix) or 'nothing'}", err=True)
    raise click.exceptions.Exit(1)


def _apply(waiting: Waiting, verb: Verb, ids: Sequence[str]) -> None:
    from guard.mail.waiting import Gone

    if not ids:
        return
    waiting.open()
    with waiting.lock() as mine:
        for id_ in _progress(ids, verb):
            if not mine:
                waiting.ask(verb, id_)
                continue
            try:
                waiting.apply(verb, id_)
            except Gone:
                continue  # delivered in the meantime


def _progress(ids: Sequence[str], verb: str) -> Any:
    """`ids`, with a bar on the terminal when they are many."""
    from rich.console import Console
    from rich.progress import track

    if len(ids) < 1000:
        return ids
    return track(ids, verb, console=Console(stderr=True), transient=True)


def _list(config: Path | None, *, as_json: bool) -> None:
    from guard.mail.waiting import Damaged, Gone

    waiting = _waiting(config)
    rows = []
    for id_ in waiting.ids():
        try:
            message = waiting.load(id_)
        except Gone:
            continue
        except Damaged as error:
            click.echo(f"guard: {printable(str(error))}", err=True)
            continue
        if as_json:
            print_json(_row(message))
        else:
            rows.append(_row(message))
    if not as_json:
        _table(rows) if rows else click.echo("nothing waits")


def _row(message: Message) -> dict[str, Any]:
    envelope, state = message.envelope, message.state
    return {
        "id": envelope.id,
        "created": envelope.created,
        "size": message.size,
        "sender": envelope.sender,
        "recipients": envelope.recipients,
        "left": message.left,
        "attempts": state.attempts,
        "due": None if state.held else state.due,
        "held": state.held,
        "last": state.last,
    }


def _plain(key: str, value: Any) -> str:
    if key == "created":
        return f"{format_duration(clock() - value)} ago"
    if key == "due":
        return _next(value)
    return printable(", ".join(value) if isinstance(value, list) else str(value))


def _next(moment: float | None) -> str:
    """When it is tried next: `in 20m`, `now`, `held`."""
    if moment is None:
        return "held"
    wait = moment - clock()
    return f"in {format_duration(wait)}" if wait >= 1 else "now"


def _table(rows: Sequence[dict[str, Any]]) -> None:
    cells = []
    for row in rows:
        left = row["left"]
        more = f" and {len(left) - 1} more" if len(left) > 1 else ""
        cells.append(
            (
                row["id"][:_ID_SHOWN],
                format_duration(clock() - row["created"]),
                str(row["size"]),
                printable(row["sender"]) or "<>",
                printable(left[0]) + more if left else "",
                str(row["attempts"]),
                _next(row["due"]),
                printable(row["last"]),
            )
        )
    titles = ("ID", "AGE", "SIZE", "FROM", "TO", "TRIED", "NEXT", "LAST")
    show_table(titles, cells, folding=("FROM", "TO", "LAST"))
