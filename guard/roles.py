"""The plug-in points. Read this first: it is enough to write a new source or firewall from.

    Source -> Counters -> (jails decide) -> Ledger -> Firewall
                                              ^  |
                                        feeds-+  +-> reporters
    Sink: where the listener says what it refused or accepted.   Spool: where accepted mail waits.

Conventions of all roles:

* A method that may block the event loop is a plain function, called in a worker thread. Each
  object is used by one thread at a time, unless its role says otherwise.
* Time is an argument (`now`, seconds since the epoch).
* A part that cannot do its work raises `Unavailable` (a service is gone: try again) or `Refused`
  (never works like this: tell the operator). It never retries and never swallows; daemon.py does
  the retrying, with back-off.
* Optional abilities are a Protocol of their own, never a flag.

To add one: write a class with these methods in the role's folder, and name it in assemble/.
`firewall/dryrun.py` and `sources/channel.py` are the shortest examples. A feed is a value, of
`feeds/recipe.py`; who is told of bans has the methods of `chronicle.Told`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from guard.events import (
    Batch,
    Block,
    Claim,
    Event,
    Good,
    Offence,
    Opinion,
    Overflow,
    Past,
    Permit,
    Remembered,
    Suspicion,
    Window,
)
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.records import Record


class GuardError(Exception):
    """What Guard raises on purpose. Its text is for the operator, in one line."""


class Unavailable(GuardError):
    """A service that is needed (Redis, netlink, a feed's server) does not answer now."""


class Refused(GuardError):
    """It does not work like this and will not by waiting: privileges, versions, bad data."""


class Forbidden(Refused):
    """The privileges of this process do not suffice."""


class ConfigError(GuardError):
    """A configuration that cannot be used; `faults` has every reason."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class BadInput(GuardError):
    """Something that the operator gave cannot be read, with the place."""


class Source(Protocol):
    """Somewhere that rejections come from.

    `name` is shown to the operator. The iterator of `batches` yields events in the order heard
    and ends or raises when it cannot go on; whoever runs it starts it again. When the next batch
    is asked for, the last one has been counted: that is the time to move a checkpoint.
    """

    name: str

    def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Events as they come, in batches of any size but zero."""
        ...


class Suspects(Protocol):
    """Who is known to others as an offender, so that fewer rejections are enough for a ban."""

    def suspicion(self, offence: Offence, maxretry: int) -> Suspicion | None:
        """What lowers the bar of `maxretry` for this offence, or None. Costs a microsecond."""
        ...


class Enricher(Protocol):
    """A service of somebody else that knows more of an address. Asked beside the ban path.

    `name` is also the word by which jails ask for its score.
    """

    name: str

    def look_up(self, network: Network, now: float) -> Opinion | None:
        """What it says of `network`, or None when it has not heard of it.

        Waits for the service, within bounds. Raises Unavailable.
        """
        ...


@runtime_checkable
class Marking(Protocol):
    """A source that can be counted exactly once, over crashes.

    The mark that it gives with a batch is kept by the counters in the same step as the counts; the
    place that the source keeps by itself, after that, may therefore be one batch behind.
    """

    key: str

    def resume(self, place: bytes | None) -> None:
        """Before `batches`: the place of the last mark that was counted. Older ones are ignored."""
        ...

    def mark(self) -> bytes:
        """The place after the batch that was yielded last."""
        ...


@runtime_checkable
class Finishing(Protocol):
    """A source that can be told that no more will come."""

    def finish(self) -> None:
        """From now on `batches` yields what is left, and ends."""
        ...


@runtime_checkable
class Telling(Protocol):
    """A source that knows more of itself than what it yields."""

    def tell(self) -> Mapping[str, int]:
        """Numbers for the operator by name: bytes `behind`, lines `dropped`. Costs nothing."""
        ...


class Sink(Protocol):
    """Where the listener reports. Called on the event loop for every record."""

    def put(self, record: Record) -> None:
        """Takes `record` at once. Never blocks, never raises; counts what it has to drop."""
        ...


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

    def forget(self, network: Network) -> None:
        """Drops what is counted against `network` in every jail."""
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
class Remembering(Protocol):
    """A ledger whose strikes can be carried to another."""

    def remembered(self) -> list[Remembered]:
        """Every network that has strikes."""
        ...

    def remember(self, rows: Sequence[Remembered]) -> None:
        """Raises strikes and ends to at least those of `rows`. Repeats change nothing."""
        ...


class Protection(Protocol):
    """Who is never blocked. Asked for every network before a claim is made and before a block."""

    def protects(self, network: Network) -> str | None:
        """Why no address of `network` may be blocked, in a few words, or None when it may be.

        The network is tested, not one address: a block that covers anybody protected is
        protected. Costs a microsecond or two.
        """
        ...


@runtime_checkable
class Carving(Protocol):
    """A Protection that says what may be blocked of a network that it protects in part."""

    def carve(self, network: Network) -> list[Network]:
        """`network` itself, the pieces of it that nobody protects, or nothing at all."""
        ...


class Crowds(Protocol):
    """Which networks of a wider block were banned of late, each counted once."""

    def join(self, block: Network, member: Network, time: float, within: float) -> int:
        """Notes `member`; returns how many of `block` joined in the `within` seconds to `time`.

        Repeats change nothing but the time. Raises Unavailable.
        """
        ...

    def leave(self, block: Network, member: Network | None) -> None:
        """Forgets that `member` joined; None is everybody. Raises Unavailable."""
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


class Firewall(Protocol):
    """A kernel, a router or a pretence that drops what the ledger says.

    The order of calls is open, then apply, replace and blocked in any order, then close. A block
    outlives this process, and ends at its `until` without it where the back end can do that.
    """

    name: str

    def open(self) -> None:
        """Makes table, sets and rules, or finds them. May be called again: it repairs.

        Raises Refused when this machine cannot, with the reason and what would help.
        """
        ...

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Blocks and releases in one transaction. Repeats and strangers are no errors."""
        ...

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks` all that is blocked, with no moment in which less is."""
        ...

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What the back end itself says it blocks, each with its end."""
        ...

    def close(self, *, clear: bool = False) -> None:
        """Lets go. The blocks stay, unless `clear` says to remove all that is ours."""
        ...


class SpoolFile(Protocol):
    """One message that is being received. `id` is what commit will return."""

    id: str

    def write(self, data: bytes) -> None:
        """Adds bytes of the message. Raises Unavailable when the disk does not take them."""
        ...

    def commit(self) -> str:
        """Makes the message durable and returns its id. Only then may anybody say 250."""
        ...

    def abort(self) -> None:
        """Forgets the message. Safe at any time, also after commit, when it does nothing."""
        ...


class Spool(Protocol):
    """Where accepted mail waits for delivery."""

    def open(self) -> None:
        """Finds or makes the directories. Raises Refused when it cannot."""
        ...

    def create(self, sender: str, recipients: Sequence[str], meta: Mapping[str, str]) -> SpoolFile:
        """Begins a message with its envelope. Raises Unavailable when the disk does not."""
        ...
