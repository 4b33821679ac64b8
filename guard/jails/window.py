"""The exact sliding window: when has an address done enough?

A window's state is the times of its rejections: None for none, the time itself for one, as most
windows are, and little-endian doubles, oldest first, for more. These are small values, for there
are millions of them. Nothing here reads a clock: time is the time of the rejection, so that an old
log gives the bans it would have given.

fail2ban (1.1) rescales one counter instead and bans a little earlier or later at the edge.
"""

from __future__ import annotations

from bisect import bisect_right
from struct import Struct, unpack

from guard.events import Window

Hits = float | bytes
_ONE, _TWO = Struct("<d"), Struct("<dd")
_one, _first = _ONE.pack, _ONE.unpack_from


def add(hits: Hits | None, time: float, rejections: int, window: Window) -> tuple[Hits | None, int]:
    """Adds `rejections` at `time`: the new state, and the sum that filled the window or 0.

    The window reaches `findtime` seconds back from the newest rejection; one exactly that old is
    out. A rejection that comes late is put in its place, or ignored when it is out of the window.
    A window that fills starts anew, empty; it never holds `maxretry` rejections or more.
    """
    maxretry, findtime = window
    # The common cases first: one rejection, later than all before, that fills nothing.
    if rejections == 1 and maxretry > 2:
        if hits is None:
            return time, 0
        if not isinstance(hits, bytes):
            if time >= hits:
                return (_TWO.pack(hits, time) if hits > time - findtime else time), 0
        elif (
            _first(hits)[0] > time - findtime
            and len(hits) < 8 * maxretry - 8
            and time >= _first(hits, len(hits) - 8)[0]
        ):
            return hits + _one(time), 0
    packed = _packed(hits)
    if packed and time < _first(packed, len(packed) - 8)[0]:
        return _add_late(packed, time, rejections, window)
    oldest = time - findtime
    if packed and _first(packed)[0] <= oldest:
        packed = packed[8 * bisect_right(times_of(packed), oldest) :]
    held = len(packed) // 8 + rejections
    if held >= maxretry:
        return None, held
    return (time if held == 1 else packed + _one(time) * rejections), 0


def _add_late(
    packed: bytes, time: float, rejections: int, window: Window
) -> tuple[Hits | None, int]:
    """The same for a rejection older than the newest."""
    times = times_of(packed)
    oldest = times[-1] - window.findtime
    if time <= oldest:
        return packed, 0
    first = bisect_right(times, oldest)
    held = len(times) - first + rejections
    if held >= window.maxretry:
        return None, held
    place = 8 * bisect_right(times, time)
    return packed[8 * first : place] + _one(time) * rejections + packed[place:], 0


def _packed(hits: Hits | None) -> bytes:
    if hits is None:
        return b""
    return hits if isinstance(hits, bytes) else _one(hits)


def times_of(hits: Hits | None) -> tuple[float, ...]:
    """The times of the rejections in a state, oldest first."""
    packed = _packed(hits)
    return unpack(f"<{len(packed) // 8}d", packed)
