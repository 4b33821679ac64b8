"""Where rejections come from, and where the listener says what it refused or accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from guard.events import Event
from guard.records import Record


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
        """The place after the batch that was yielded last; in any thread, until the next is."""
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
