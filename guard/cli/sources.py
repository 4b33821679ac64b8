"""`guard sources`: where rejections come from, how they fare, and what one of them would hear."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.options import config_option, json_option, print_json
from guard.lib.logs import printable
from guard.roles import BadInput

if TYPE_CHECKING:
    from guard.config import Settings
    from guard.events import Event
    from guard.roles import Source
    from guard.sources.settings import SourceSettings


@click.group(invoke_without_command=True)
@click.pass_context
@config_option
@json_option
def sources(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Show each source of rejections: lag, rate, last record, errors."""
    ctx.obj = (config, as_json)
    if ctx.invoked_subcommand is None:
        _list(config, as_json=as_json)


def _list(config: Path | None, *, as_json: bool) -> None:
    from guard.config import load
    from guard.control import NoDaemon, call

    settings = load(config)
    try:
        rows: list[dict[str, Any]] = call(settings.state.meeting, "status")["source"]
    except NoDaemon:
        rows = [{"name": name, "error": "no daemon runs"} for name in _names(settings)]
    for row in rows:
        if as_json:
            print_json(row)
        else:
            rest = ", ".join(f"{k} {v}" for k, v in row.items() if k != "name" and v != "")
            click.echo(printable(f"{row['name']}: {rest}"))
    if not rows and not as_json:
        click.echo("no [[source]] is configured; the listener's own rejections are always heard")


@sources.command()
@click.argument("name")
@click.option("--count", type=click.IntRange(1), help="Stop after so many events.")
@click.option("--seconds", type=float, help="Stop after so long [default: on Ctrl-C].")
@config_option
@json_option
@click.pass_obj
def test(
    outer: tuple[Path | None, bool],
    name: str,
    count: int | None,
    seconds: float | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Print what the source NAME would hear, from its recent past on. Nothing counts.

    NAME is a source as `guard sources` shows it, or enough of it to mean one alone. A webhook or a
    syslog receiver listens where the configuration says, so that the daemon must not run.
    """
    from tempfile import TemporaryDirectory

    from guard.config import load
    from guard.sources.make import make_source

    settings = load(config or outer[0])
    chosen = _one(settings, name)
    # A place of its own: that of the daemon stays where it is.
    with TemporaryDirectory(prefix="guard-") as folder:
        source = make_source(chosen, Path(folder), settings.jails.filters)
        try:
            heard = asyncio.run(_listen(source, count, seconds, as_json=as_json or outer[1]))
        except KeyboardInterrupt:
            return
    if not heard:
        click.echo("heard nothing", err=True)
        raise click.exceptions.Exit(1)


async def _listen(
    source: Source, count: int | None, seconds: float | None, *, as_json: bool
) -> int:
    heard = 0
    try:
        async with asyncio.timeout(seconds):
            async for batch in source.batches():
                for event in batch[: None if count is None else count - heard]:
                    _print(event, as_json=as_json)
                    heard += 1
                if heard == count:
                    break
    except TimeoutError:
        pass
    return heard


def _print(event: Event, *, as_json: bool) -> None:
    from datetime import UTC, datetime

    from guard.events import Rejection

    rejected = isinstance(event, Rejection)
    what = (event.kind or f"filter {event.filter}") if isinstance(event, Rejection) else event.how
    if as_json:
        print_json(
            {
                "time": event.time,
                "address": event.address,
                "event": "rejection" if rejected else "acceptance",
                "what": str(what),
                "count": event.count if isinstance(event, Rejection) else 1,
            }
        )
        return
    moment = datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S")
    click.echo(f"{moment}  {event.address:<39}  {'refused' if rejected else 'good'}  {what}")


def _names(settings: Settings) -> list[str]:
    return [_name(item) for item in settings.source]


def _name(item: SourceSettings) -> str:
    """What the source calls itself, without making it: that may read files."""
    for member in ("path", "socket", "listen", "filter"):
        value = getattr(item, member, None)
        if value is not None and not (item.type == "journal" and member != "filter"):
            return f"{item.type} {value}"
    return item.type


def _one(settings: Settings, name: str) -> SourceSettings:
    named = list(zip(_names(settings), settings.source, strict=True))
    found = [item for full, item in named if full == name] or [
        item for full, item in named if name in full
    ]
    if len(found) == 1:
        return found[0]
    known = ", ".join(full for full, _ in named) or "none is configured"
    which = "more than one source" if found else "no source"
    raise BadInput(f"{which} is called {name!r}; there are: {known}")
