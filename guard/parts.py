"""What a service is made of, as values: assemble/ makes them, daemon.py runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from guard.chronicle import Chronicle
from guard.events import Claim
from guard.lists import Lists
from guard.operations import Operations
from guard.roles import Source


class Listening(Protocol):
    """A server that answers strangers."""

    async def start(self) -> None:
        """Binds and begins to answer. Raises Refused when it cannot bind."""
        ...

    async def stop(self, grace: float) -> None:
        """Takes no more connections, lets sessions finish for `grace` seconds, closes."""
        ...


class Mirroring(Protocol):
    """The mirror of the ledger in the kernel: guard/firewall/mirror.py."""

    def start(self, now: float) -> object:
        """Makes the kernel equal to the ledger."""
        ...

    def hurry(self, claims: Sequence[Claim], now: float) -> object:
        """Begins to block what jails are about to claim."""
        ...

    def hurried(self) -> object:
        """Waits until that is done."""
        ...

    def step(self, now: float) -> object:
        """Applies what changed since, and waits for it."""
        ...

    def reconcile(self, now: float) -> object:
        """Compares both, repairs, and reports."""
        ...


class Running(Protocol):
    """Something that runs beside the rest: delivery, reloading, a web server.

    It may be Finishing: then an orderly stop lets it end by itself first.
    """

    async def run(self) -> None:
        """Works until it is cancelled or told to finish. What it raises has it run again."""
        ...


@dataclass(frozen=True)
class Job:
    """What runs beside the rest, with the name that the log has for it."""

    name: str
    work: Running


@dataclass(frozen=True)
class Chore:
    """Something to do every so many seconds, in a thread of its own: it may wait for the world.

    The end of the process does not wait for it: it has to be safe to cut off at any point.
    When `run` returns something to call, that is called in the thread that owns the ledger.
    """

    name: str
    every: float
    run: Callable[[float], Callable[[float], object] | None]


@dataclass(kw_only=True)
class Parts:
    """What assemble/ made and the daemon runs. A listener alone has no `engine`."""

    listeners: Sequence[Listening] = ()
    sources: Sequence[Source] = ()
    jobs: Sequence[Job] = ()
    chores: Sequence[Chore] = ()
    engine: EngineParts | None = None
    reload: Callable[[], None] = lambda: None
    close: Callable[[], None] = lambda: None


@dataclass(kw_only=True)
class EngineParts:
    """What decides and enforces. `dropped` tells the packets and bytes that each feed dropped.

    `wait` waits so many seconds in a thread of its own, and says whether another host changed the
    ledger.
    """

    operations: Operations
    mirror: Mirroring
    control: Path
    reconcile: float
    chronicle: Chronicle
    status: Callable[[float], dict[str, Any]]
    dropped: Callable[[], dict[str, tuple[int, int]]] = dict
    wait: Callable[[float], bool] | None = None
    chores: Sequence[Chore] = ()
    lists: Lists | None = None
    verbs: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
