"""Who answers a command: the running daemon at its socket, or where none runs the store itself.

The kernel then follows when the daemon starts. Reads the configuration once, however much is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.lib.clock import now as clock

if TYPE_CHECKING:
    from guard.config import Settings
    from guard.control import Line
    from guard.operations import Operations

_NO_DAEMON = "no daemon runs: noted in the ledger, enforced when it starts"
_NO_DAEMON_HERE = "no daemon runs here: noted in Redis, and enforced by the hosts that share it"


class Answers:
    """Who answers a command: the daemon, or where none runs the store itself."""

    def __init__(self, settings: Settings, line: Line | None, stack: ExitStack) -> None:
        self._settings, self._line, self._stack = settings, line, stack
        self._operations: Operations | None = None

    def ask(self, name: str, **arguments: Any) -> Any:
        """What is answered to `name`."""
        if self._line is not None:
            return self._line.ask(name, **arguments)
        if name == "opinions":
            return self._opinions(arguments)
        return self._by_hand().do(name, arguments, clock())

    def unban_all(self) -> Iterator[Any]:
        """How many rows there will be, about, and then the rows in pieces."""
        if self._line is not None:
            yield from self._line.parts("unban_all", parts=True)
            return
        operations, now = self._by_hand(), clock()
        yield operations.ledger.size(now)
        yield from operations.emptying(now)

    def noted(self, name: str) -> None:
        """Says, where no daemon runs, what becomes of what was asked."""
        changes = ("ban", "unban", "unban_all", "allow", "disallow", "pause", "resume")
        if self._line is None and name in changes:
            shared = self._settings.store.url is not None and name not in ("pause", "resume")
            click.echo(_NO_DAEMON_HERE if shared else _NO_DAEMON, err=True)

    def _by_hand(self) -> Operations:
        from guard import assemble

        if self._operations is None:
            # What a daemon logs of these, the command says itself.
            for logger in ("guard.bans", "guard.operations"):
                logging.getLogger(logger).addHandler(logging.NullHandler())
            opened = assemble.operations(self._settings)
            self._operations = self._stack.enter_context(opened)
        return self._operations

    def _opinions(self, arguments: dict[str, Any]) -> Any:
        from guard import assemble

        with assemble.checks_by_hand(self._settings) as checks:
            return checks.opinions(now=clock(), **arguments) if checks is not None else []


@contextmanager
def asking(config: Path | None, *, daemon: bool = False) -> Iterator[Answers]:
    """Whoever answers several questions; with `daemon` NoDaemon is raised where there is none."""
    from guard.config import load
    from guard.control import Line, NoDaemon

    settings = load(config)
    with ExitStack() as stack:
        line: Line | None = None
        try:
            line = stack.enter_context(Line(settings.state.meeting))
        except NoDaemon:
            if daemon:
                raise
        yield Answers(settings, line, stack)


def ask(config: Path | None, name: str, **arguments: Any) -> Any:
    """What the daemon, or without one the store, answers to `name`."""
    with asking(config, daemon=name == "status") as answers:
        answer = answers.ask(name, **arguments)
        answers.noted(name)
        return answer
