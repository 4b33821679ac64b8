"""The exact sliding window: when has an address done enough?

A window's state is the times of its rejections, oldest first, packed as little-endian doubles: a
value of 8 bytes a rejection that both stores keep as it is. Nothing here reads a clock: time is
the time of the rejection, so that an old log gives the bans it would have given.

fail2ban (1.1) rescales one counter instead and bans a little earlier or later at the edge.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct, unpack

from guard.events import Window

EMPTY = b""
_DOUBLE = Struct("<d")


def add(hits: bytes, time: float, rejections: int, window: Window) -> tuple[bytes, int]:
    """Adds `rejections` at `time`: the new state, and the sum that filled the window or 0.

    The window reaches `findtime` seconds back from the newest rejection; one exactly that old is
    out. A rejection that comes late is put in its place, or ignored when it is out of the window.
    A window that fills starts anew, empty; it never holds `maxretry` rejections or more.
    """
    maxretry, findtime = window
    if hits:
        if time < _DOUBLE.unpack_from(hits, len(hits) - 8)[0]:
            return _add_late(hits, time, rejections, window)
        oldest = time - findtime
        if _DOUBLE.unpack_from(hits)[0] <= oldest:
            times = times_of(hits)
            hits = hits[8 * bisect_right(times, oldest) :]
    held = len(hits) // 8 + rejections
    if held >= maxretry:
        return EMPTY, held
    return hits + _DOUBLE.pack(time) * rejections, 0


def _add_late(hits: bytes, time: float, rejections: int, window: Window) -> tuple[bytes, int]:
    """The same for a rejection older than the newest."""
    times = times_of(hits)
    if time <= times[-1] - window.findtime:
        return hits, 0
    held = len(times) + rejections
    first = bisect_right(times, times[-1] - window.findtime)
    held -= first
    if held >= window.maxretry:
        return EMPTY, held
    place = 8 * bisect_right(times, time)
    return hits[8 * first : place] + _DOUBLE.pack(time) * rejections + hits[place:], 0


def times_of(hits: bytes) -> tuple[float, ...]:
    """The times of the rejections in a state, oldest first."""
    return unpack(f"<{len(hits) // 8}d", hits)
