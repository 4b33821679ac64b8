"""Names for sessions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from secrets import randbits


def session_ids() -> Callable[[], str]:
    """UUIDs, one for each call: begun at random, then counted on (RFC 9562, version 8).

    They tell sessions apart and guard nothing: no reason to draw each by lot.
    """
    first = f"{randbits(48):012x}"
    begin = f"{first[:8]}-{first[8:]}-8{randbits(12):03x}-{0x8000 | randbits(14):04x}-"
    return map((begin + "{:012x}").format, count(randbits(47))).__next__
