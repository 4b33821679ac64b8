"""What stores keep: counts, claims, who was good of late, who is let in by hand, what was spent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from guard.events import (
    Batch,
    Claim,
    Ended,
    Good,
    Offence,
    Overflow,
    Past,
    Permit,
    Remembered,
    Window,
)
from guard.lib.networks import Network


class Counters(Protocol):
    """Rejections per jail and network in exact sliding windows; shared by whoever shares it."""

    def count(self, offences: Sequence[Offence], windows: Mapping[str, Window]) -> list[Overflow]:
        """Counts all `offences` and returns the windows that they filled, in order.

        A window is full when offences of the last `findtime` seconds (the newest included, one
        exactly `findtime` old not) sum to `maxretry`. A full window starts anew, empty.
        Every jail of an offence is in `windows`; of a suspect another call may ask for less.
        Raises Unavailable with nothing counted.
        """
        ...

    def counted(self, network: Network) -> list[Offence]:
        """Everything still held against `network`, oldest first."""
        ...

    def forget(self, *networks: Network) -> None:
        """Drops what is counted against `networks` in every jail."""
        ...

    def close(self) -> None:
        """Writes what is not yet durable and lets go of files and connections."""
        ...


@runtime_checkable
class ExactCounters(Counters, Protocol):
    """Counters that count a batch exactly once, whatever is killed or gone."""

    def count_once(self, batch: Batch) -> list[Overflow]:
        """As `count`, for all parts of `batch` at once; durable with its mark when this returns.

        Whatever is killed or gone, a batch whose mark is kept was counted, once, and one whose mark
        is not was not. The overflows told are kept until a batch says that they are settled: what
        had not been when the process ended is told by `unsettled` of the next.
        """
        ...

    def mark(self, source: str) -> bytes | None:
        """The place in the last batch of `source` that was counted on this host; None: unknown."""
        ...

    def unsettled(self) -> list[Overflow]:
        """Overflows told before this process began and not settled; perhaps claimed already."""
        ...


class Ledger(Protocol):
    """Who is blocked, by whom, until when. The one truth that the kernel mirrors."""

    def claim(self, claims: Sequence[Claim], now: float) -> list[Claim]:
        """Adds or replaces claims (one per network and source); returns them with strikes set.

        A jail's claim on a network that it claims already keeps its `since` and does not count
        as a strike. Durable when this returns.
        """
        ...

    def withdraw(self, network: Network | None, source: str | None, now: float) -> list[Claim]:
        """Ends the claims of `source` on exactly `network`; None is any. Returns what ended."""
        ...

    def replace(self, source: str, claims: Sequence[Claim], now: float) -> tuple[int, int]:
        """Makes `claims` all that `source` claims, at once; returns how many came and went."""
        ...

    def claims(self, now: float) -> list[Claim]:
        """Every live claim, oldest first."""
        ...

    def size(self, now: float) -> int:
        """How many live claims there are, without reading them."""
        ...

    def past(self, networks: Sequence[Network], now: float) -> list[Past]:
        """For each of `networks`, exactly: its live claims, and the strikes not yet forgotten.

        Strikes are how many claims each jail has made, ended ones included.
        """
        ...

    def changes(self, cursor: str) -> tuple[str, set[Network] | None]:
        """What changed since `cursor` ('' at first): the new cursor and the networks touched.

        None for the networks means: too much, or unknown; read all `claims` again.
        """
        ...

    def close(self) -> None:
        """Lets go of files and connections."""
        ...


@runtime_checkable
class Emptying(Protocol):
    """A ledger that can end a million claims at once, and tells of them in pieces."""

    def empty(self, now: float) -> Iterator[Ended]:
        """Ends every claim there is, with the first piece, which may have none.

        Abandoned, they are ended all the same. Raises Unavailable.
        """
        ...


@runtime_checkable
class Remembering(Protocol):
    """A ledger whose strikes can be carried to another."""

    def remembered(self) -> list[Remembered]:
        """Every network that has strikes."""
        ...

    def remember(self, rows: Sequence[Remembered]) -> None:
        """Raises strikes and ends to at least those of `rows`. Repeats change nothing."""
        ...

    def restore(self, claims: Sequence[Claim], now: float) -> None:
        """As the ledger's `claim`, but what is new is no strike: those are in what is remembered.

        A new claim keeps the number of strikes that it says.
        """
        ...


class Crowds(Protocol):
    """Which networks of a wider block were banned of late, each counted once."""

    def join(self, block: Network, member: Network, time: float, within: float) -> int:
        """Notes `member`; returns how many of `block` joined in the `within` seconds to `time`.

        Repeats change nothing but the time. Raises Unavailable.
        """
        ...

    def leave(self, gone: Mapping[Network, Sequence[Network]]) -> None:
        """Forgets that these joined their blocks; everybody where none is named.

        Raises Unavailable.
        """
        ...


class Standing(Protocol):
    """Who is in good standing: authenticated, had mail accepted, or takes the mail we send.

    Shared by whoever shares the store; what is older than the store keeps it is forgotten.
    """

    def note(self, goods: Sequence[Good]) -> None:
        """Remembers the newest of each network. May be late by an hour. Raises Unavailable."""
        ...

    def known(self, networks: Sequence[Network]) -> list[Good | None]:
        """For each of `networks`, exactly: when it last was good, or None. Raises Unavailable."""
        ...


class Permits(Protocol):
    """Whom operators let in by hand, beside the configuration; shared by whoever shares the store.

    Raises Unavailable or Forbidden.
    """

    def permits(self, now: float) -> list[Permit]:
        """Those that hold."""
        ...

    def permit(self, permit: Permit) -> None:
        """Adds one, or replaces that on the same network."""
        ...

    def withdraw(self, network: Network, now: float) -> bool:
        """Ends the one on exactly `network`; whether there was one."""
        ...


class Quotas(Protocol):
    """How much may still be asked of somebody else's service; shared by whoever shares the store.

    A day is a day of UTC. May be used by several threads. Raises Unavailable: who does not know
    what others spent spends nothing.
    """

    def take(self, name: str, limit: int, wanted: int, now: float) -> int:
        """Spends up to `wanted` of the `limit` that `name` has today; how many were granted."""
        ...

    def left(self, name: str, limit: int, now: float) -> int:
        """How many of `limit` nobody has spent yet today."""
        ...

    def told(self, name: str, limit: int, left: int, now: float) -> None:
        """The service itself says that only `left` of `limit` are left today. Never gives back."""
        ...

    def once(self, name: str, key: str, within: float, now: float) -> bool:
        """Whether nobody did `key` in the last `within` seconds; if so it counts as done now."""
        ...

    def undo(self, name: str, key: str) -> None:
        """It was not done after all."""
        ...
