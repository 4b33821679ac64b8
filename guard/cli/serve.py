"""`guard up`, `guard listener`, `guard daemon`: the services."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.options import config_option

if TYPE_CHECKING:
    from guard.assemble import Assembled
    from guard.config import Settings

STOP_TIME = 60.0  # seconds that a listener's processes may take to end

verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log more.")


def serve(
    config: Path | None,
    verbose: bool,
    build: Callable[[Settings, Path | None], Assembled],
    *,
    welcome: bool = True,
) -> None:
    """Assembles what `build` names and runs it until a signal."""
    import uvloop

    from guard.config import load
    from guard.daemon import Daemon
    from guard.firewall.privileges import FIREWALL, SERVICE, held, keep_only
    from guard.lib.bulk import collect_seldom
    from guard.lib.clock import now
    from guard.lib.logs import set_up

    settings = load(config)
    set_up(verbose=verbose, journal="JOURNAL_STREAM" in os.environ)
    made = build(settings, config)
    if made.separated or held() & FIREWALL:
        # In a dry run and in a listener of root's too: they read what strangers send.
        keep_only(SERVICE)
    collect_seldom(10_000)

    async def main() -> None:
        begun = (lambda: _welcome(made)) if welcome else (lambda: None)
        await Daemon(made.parts, now, begun).run()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(main())
        except* Exception as group:
            raise _only(group) from None


def _only(group: BaseExceptionGroup[Exception]) -> Exception:
    """The one error that ended the run, out of the groups that a TaskGroup wraps it in."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    assert isinstance(first, Exception)
    return first


def _welcome(made: Assembled) -> None:
    """What runs and what to try next; services under systemd need neither."""
    if not sys.stdout.isatty() and "JOURNAL_STREAM" in os.environ:
        return
    for title, text in made.summary():
        click.echo(f"{click.style(f'{title:<9}', bold=True)} {text}")
    program = os.path.relpath(sys.argv[0]) if sys.argv[0].startswith("/") else sys.argv[0]
    if program.endswith("__main__.py"):
        program = "python -m guard"
    click.echo(f"Next, in another terminal: {click.style(f'{program} demo', bold=True)}")
    sys.stdout.flush()


@click.command()
@config_option
@verbose_option
def up(config: Path | None, verbose: bool) -> None:
    """Run listener and daemon in one process."""
    from guard import assemble

    serve(config, verbose, assemble.up)


@click.command()
@config_option
@verbose_option
@click.option("--worker", type=int, hidden=True, help="Be this one of several processes.")
@click.option("--shared", type=int, hidden=True, help="The memory of all of them, inherited.")
@click.option("--records", type=int, hidden=True, help="The way to who writes for all of them.")
def listener(
    config: Path | None,
    verbose: bool,
    worker: int | None,
    shared: int | None,
    records: int | None,
) -> None:
    """Run the listener alone; it meets the daemon in Redis.

    With `workers` in a [[listener]] it is as many processes, kept running.
    """
    from guard import assemble
    from guard.config import load

    count = max((item.workers for item in load(config).listener), default=1)
    if worker is None and count > 1:
        sys.exit(_crew(config, verbose, count))

    def build(settings: Settings, path: Path | None) -> Assembled:
        seat = None
        if worker is not None and shared is not None:
            seat = assemble.Seat.taken(worker, shared, records)
        return assemble.listener(settings, path, lambda read: worker_of(read, worker), seat)

    serve(config, verbose, build, welcome=not worker)


def worker_of(settings: Settings, worker: int | None) -> Settings:
    """What one process of several runs: a listener with that many; the first delivers mail."""
    from dataclasses import replace

    if worker is None:
        return settings
    listeners = tuple(item for item in settings.listener if item.workers > worker)
    delivery = replace(settings.delivery, enabled=settings.delivery.enabled and worker == 0)
    return replace(settings, listener=listeners, delivery=delivery)


def _crew(config: Path | None, verbose: bool, count: int) -> int:
    """Keeps `count` processes of this listener running; its exit code."""
    from guard import assemble
    from guard.config import load
    from guard.lib.crew import Crew
    from guard.lib.logs import set_up
    from guard.lib.systemd import notify

    set_up(verbose=verbose, journal="JOURNAL_STREAM" in os.environ)
    options = [*(["-c", str(config)] if config else []), *(["--verbose"] if verbose else [])]
    command = [sys.executable, "-m", "guard", "listener", *options]

    async def main() -> int:
        workers = assemble.Workers(load(config), count)
        crew = Crew(
            [[*command, *workers.options(number)] for number in range(count)],
            grace=STOP_TIME,
            final={64, 77, 78},
            ready=lambda: notify("READY=1"),
            ended=workers.ended,
            inherited=workers.descriptors,
        )
        workers.open()
        try:
            return await crew.run()
        finally:
            workers.close()

    return asyncio.run(main())


@click.command()
@config_option
@verbose_option
def daemon(config: Path | None, verbose: bool) -> None:
    """Run the daemon alone: sources, jails, ledger, firewall."""
    from guard import assemble

    serve(config, verbose, assemble.daemon)
