"""What one service has said, remembered for a while: a bounded table, and a file for restarts.

A file that cannot be read is an empty one, and a disk that does not take it costs a few questions.
Safe in any thread.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guard.events import Opinion
from guard.lib.networks import Network, parse_network

log = logging.getLogger("guard.check")


@dataclass(frozen=True, slots=True)
class Held:
    """What was answered at `time`; no opinion is that the service has not heard of it."""

    time: float
    opinion: Opinion | None


class Memory:
    """At most `most` answers, the latest; `file` None keeps none over a restart."""

    def __init__(self, file: Path | None, most: int, ttl: float, ttl_unknown: float) -> None:
        self._file, self._most = file, most
        self.ttl, self._ttl_unknown = ttl, ttl_unknown
        self._lock = threading.Lock()
        self._held: OrderedDict[Network, Held] = OrderedDict()
        self._changed = False

    def __len__(self) -> int:
        return len(self._held)

    def until(self, held: Held) -> float:
        """When this is to be asked for again."""
        return held.time + (self._ttl_unknown if held.opinion is None else self.ttl)

    def find(self, network: Network, now: float) -> Held | None:
        """What is known of `network`, and is not too old."""
        held = self._held.get(network)
        return held if held is not None and held.time <= now < self.until(held) else None

    def put(self, network: Network, held: Held) -> list[Network]:
        """Remembers an answer; whom that displaces."""
        with self._lock:
            self._held.pop(network, None)
            self._held[network] = held
            self._changed = True
            displaced = []
            while len(self._held) > self._most:
                displaced.append(self._held.popitem(last=False)[0])
        return displaced

    def items(self) -> list[tuple[Network, Held]]:
        """Everything, oldest answer first."""
        with self._lock:
            return list(self._held.items())

    def load(self, now: float) -> None:
        """Takes up what the file has and is not too old."""
        if self._file is None:
            return
        try:
            rows = msgspec.json.decode(
                self._file.read_bytes(), type=list[tuple[str, float, Opinion | None]]
            )
            found = list(_read(rows))
        except FileNotFoundError:
            return
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.warning("%s is passed over: %s", self._file, error)
            return
        with self._lock:
            for network, held in found[-self._most :]:
                if held.time <= now < self.until(held):
                    self._held[network] = held

    def save(self) -> None:
        """Replaces the file, when there is something new."""
        if self._file is None or not self._changed:
            return
        self._changed = False
        rows = [(str(network), held.time, held.opinion) for network, held in self.items()]
        new = self._file.with_name(f"{self._file.name}.{os.getpid()}.new")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.encode(rows))
            new.replace(self._file)
        except OSError as error:
            log.warning("cannot keep %s: %s", self._file, error)


def _read(rows: list[tuple[str, float, Opinion | None]]) -> Iterator[tuple[Network, Held]]:
    for text, time, opinion in rows:
        yield parse_network(text), Held(time, opinion)
