"""`guard replay`: who would have been banned, had the jails run when these logs were written."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.options import config_option, json_option, print_json
from guard.cli.tables import show_table
from guard.lib.durations import format_duration
from guard.roles import BadInput

if TYPE_CHECKING:
    from guard.cli.replaying import Ban, Replay
    from guard.config import Settings
    from guard.events import Event
    from guard.jails.jail import Jail
    from guard.sources.aside import Aside, Task
    from guard.sources.history import Reader

LARGE = 2 << 20
_STAMP = "%Y-%m-%d %H:%M:%S"


@click.command()
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--filter", "filter_", metavar="NAME", help="The files are text logs: match these.")
@click.option(
    "--jails",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Jail files to try, in place of the configured ones.",
)
@config_option
@json_option
def replay(
    files: tuple[Path, ...],
    filter_: str | None,
    folder: Path | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Run the jails over old logs, touching nothing: who would have been banned, and when.

    FILE is a KumoMTA log directory, or a file of log records, plain or compressed with zstd or
    gzip; - is standard input. With --filter it is a text log of any program.
    """
    from guard.config import load
    from guard.lib.bulk import collect_seldom
    from guard.sources.aside import Task, text_of

    settings = load(config)
    jails = _jails(settings, filter_, folder)
    task = Task(text_of(files), filter_, text_of(settings.jails.filters))
    task.hear()  # a fault in the filter is told here
    collect_seldom(100_000)
    with _progress(files) as advance:
        reader = _reader(files, task, advance)
        run = _replay(settings, jails)
        _play(run, reader.batches(), _print_ban if as_json else None)
    if not as_json and run.bans:
        _table(run)
    _summary(run, reader, jails)
    if reader.foreign:
        raise BadInput(f"no log: {', '.join(reader.foreign)}")


def _play(run: Replay, batches: Iterable[list[Event]], tell: Callable[[Ban], None] | None) -> None:
    for batch in batches:
        for ban in run.hear(batch):
            if tell is not None:
                tell(ban)


def _jails(settings: Settings, filter_: str | None, folder: Path | None) -> list[Jail]:
    """The jails to run; those of another filter would not see one line of a text log."""
    from guard.jails.files import load_jails
    from guard.jails.jail import Jail

    jails = load_jails([folder] if folder else settings.jails.path, settings.jails.filters)
    if filter_ is None:
        return jails
    chosen = [jail for jail in jails if jail.filter == filter_]
    if not chosen:
        chosen = [Jail(name=filter_, filter=filter_)]
        _say(f"no jail has the filter {filter_}; trying fail2ban's default: {_describe(chosen[0])}")
    return chosen


def _describe(jail: Jail) -> str:
    length = format_duration(jail.bantime)
    return f"{jail.window.maxretry} within {format_duration(jail.window.findtime)} bans {length}"


def _reader(
    files: tuple[Path, ...], task: Task, advance: Callable[[int], object]
) -> Reader | Aside:
    """Reads in a process of its own what is worth starting one."""
    from guard.sources.aside import Aside
    from guard.sources.history import STDIN, size_of

    if STDIN in files or size_of(files) < LARGE or (os.cpu_count() or 1) < 2:
        return task.reader(advance)
    return Aside(task, advance)


def _replay(settings: Settings, jails: list[Jail]) -> Replay:
    from guard.cli.replaying import Hindsight, Remembering, Replay
    from guard.pipeline import Pipeline
    from guard.protect.protection import Protectors
    from guard.stores.embedded import EmbeddedStore

    store = EmbeddedStore(None)
    counters = Remembering(store.counters)
    hosts = [host for item in settings.listener for host in item.relay_hosts]
    protectors = Protectors.build(settings.protect, hosts)
    restraint = Hindsight(settings.protect, store)
    pipeline = Pipeline(
        jails,
        counters,
        store.ledger,
        protectors,
        settings=settings.jails,
        restraint=restraint,
    )
    return Replay(pipeline, counters, restraint.spared)


@contextmanager
def _progress(files: tuple[Path, ...]) -> Iterator[Callable[[int], object]]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty() or Path("-") in files:
        yield int
        return
    from rich.console import Console
    from rich.progress import Progress

    from guard.sources.history import size_of

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=size_of(files))
        yield lambda count: progress.advance(task, count)


def _print_ban(ban: Ban) -> None:
    print_json(
        {
            "time": ban.time,
            "address": str(ban.network),
            "jail": ban.jail,
            "rejections": ban.rejections,
            "until": ban.until,
        }
    )


def _table(run: Replay) -> None:
    from datetime import UTC, datetime

    titles = ("TIME (UTC)", "ADDRESS", "JAIL", "REJECTIONS", "BANNED FOR", "ACCEPTED LATER")
    show_table(
        titles,
        (
            (
                datetime.fromtimestamp(ban.time, UTC).strftime(_STAMP),
                str(ban.network),
                ban.jail,
                str(ban.rejections),
                format_duration(None if ban.until is None else ban.until - ban.time),
                "yes" if ban.network in run.later else "",
            )
            for ban in run.bans
        ),
    )


def _summary(run: Replay, reader: Reader | Aside, jails: list[Jail]) -> None:
    """What was read and what came of it, for people: on standard error."""
    from datetime import UTC, datetime

    from guard.sources.tally import UNKNOWN

    tally = reader.tally
    for sort, found in tally.faults.items():
        what = "records of types that Guard does not know" if sort == UNKNOWN else sort
        _say(f"{found.count} x {what}, first at {found.first}")
    span = ""
    if run.first <= run.last:
        begin, end = (
            datetime.fromtimestamp(t, UTC).strftime(_STAMP) for t in (run.first, run.last)
        )
        span = f" from {begin} to {end} UTC"
    _say(f"{tally.lines} lines, {run.rejections} rejections{span}")
    networks = {ban.network for ban in run.bans}
    made = ", ".join(
        f"{jail.name} {sum(ban.jail == jail.name for ban in run.bans)}" for jail in jails
    )
    _say(f"{len(run.bans)} bans of {len(networks)} addresses ({made})")
    spared = {**run.spared, "protected": run.protected}
    if held := ", ".join(f"{why} {count}" for why, count in spared.items() if count):
        _say(f"not banned: {held}")
    if networks:
        _say(f"{len(run.later)} of them later had mail accepted or authenticated")


def _say(text: str) -> None:
    from guard.lib.logs import printable

    click.echo(printable(text), err=True)
