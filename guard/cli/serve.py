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

verbose_option = click.option("-v", "--verbose", is_flag=True, help="Log more.")


def serve(
    config: Path | None, verbose: bool, build: Callable[[Settings, Path | None], Assembled]
) -> None:
    """Assembles what `build` names and runs it until a signal."""
    import uvloop

    from guard.config import load
    from guard.daemon import Daemon
    from guard.firewall.privileges import SERVICE, keep_only
    from guard.lib.clock import now
    from guard.lib.logs import set_up

    settings = load(config)
    set_up(verbose=verbose, journal="JOURNAL_STREAM" in os.environ)
    made = build(settings, config)
    if made.separated:
        keep_only(SERVICE)

    async def main() -> None:
        await Daemon(made.parts, now, lambda: _welcome(made)).run()

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
def listener(config: Path | None, verbose: bool) -> None:
    """Run the listener alone; it meets the daemon in Redis."""
    from guard import assemble

    serve(config, verbose, assemble.listener)


@click.command()
@config_option
@verbose_option
def daemon(config: Path | None, verbose: bool) -> None:
    """Run the daemon alone: sources, jails, ledger, firewall."""
    from guard import assemble

    serve(config, verbose, assemble.daemon)
