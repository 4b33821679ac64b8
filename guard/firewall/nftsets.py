"""Elements of nftables sets as netlink messages, and back. Pure: bytes in, bytes out.

Layout: linux/netfilter/nf_tables.h. A hash set holds keys; an interval set holds two keys a range,
the second with the flag "interval end". Times are milliseconds left, 64 bits, big endian. An
element without a time stays for ever.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from guard.firewall.intervals import Range
from guard.firewall.netlink import (
    CREATE,
    DUMP,
    NESTED,
    Prepared,
    attribute,
    attributes,
    message,
    text,
)

SUBSYSTEM = 10
INET = 1
NEW_ELEMENTS, GET_ELEMENTS, DELETE_ELEMENTS = 12, 13, 14
_TABLE, _SET, _ELEMENTS = 1, 2, 3
_KEY, _FLAGS, _TIMEOUT, _EXPIRATION = 1, 3, 4, 5
_END = 1
_TIME = struct.Struct(">Q")
_CLOCK = struct.pack("=HH", 12, _TIMEOUT)
_REST = struct.pack("=HH", 12, _EXPIRATION)
# An attribute's length has 16 bits; the list of elements is one attribute.
_LIST = 60000
_HOSTS = 1400
# What `nf_msecs_to_jiffies64` takes, and a length that is not rounded down to "for ever" where
# the kernel's clock ticks a hundred times a second.
_LONGEST, _SHORTEST = 18_446_744_073_000, 20

Key = tuple[bytes, float | None]


def milliseconds(until: float | None, now: float) -> int:
    """How long an element stays; 0 is for ever."""
    if until is None or until - now > _LONGEST / 1000:
        return 0
    return max(_SHORTEST, round((until - now) * 1000))


def all_milliseconds(until: Sequence[float], now: float) -> list[int] | None:
    """`milliseconds` of several, if none of them is over, very near or very far."""
    if min(until) - now < _SHORTEST / 1000 or max(until) - now > _LONGEST / 1000:
        return None
    return [round((end - now) * 1000) for end in until]


def keys(pairs: Iterable[tuple[bytes, int]], size: int, *, renew: bool = False) -> Iterator[bytes]:
    """One element a pair of (key of `size` bytes, milliseconds or 0 for ever).

    With `renew` one that is there already begins anew even where it was laid for just as long.
    """
    brief, timed, pack = _shapes(size, renew)
    if renew:
        for key, left in pairs:
            yield pack(timed, key, _CLOCK, left, _REST, left) if left else brief + key
        return
    for key, left in pairs:
        yield pack(timed, key, _CLOCK, left) if left else brief + key


def hosts(keys: bytes, left: Sequence[int]) -> bytes:
    """As `keys` with `renew`, of as many IPv4 addresses in `keys` as there are `left`.

    All elements look alike, so that they are laid out at once and filled in byte by byte.
    """
    _, timed, pack = _shapes(4, renew=True)
    plain = pack(timed, bytes(4), _CLOCK, 0, _REST, 0)
    size, made = len(plain), bytearray(plain * len(left))
    times = struct.pack(f">{len(left)}Q", *left)
    first = len(timed)
    second = first + 4 + len(_CLOCK)
    third = second + _TIME.size + len(_REST)
    for at in range(4):
        made[first + at :: size] = keys[at::4]
    for at in range(_TIME.size):
        made[second + at :: size] = made[third + at :: size] = times[at :: _TIME.size]
    return bytes(made)


@cache
def _shapes(size: int, renew: bool) -> tuple[bytes, bytes, Callable[..., bytes]]:
    """The headers of an element without and with a time, and what packs the latter."""
    inner, clocks = 8 + size, 2 if renew else 1
    head = struct.pack("=HHHH", inner, _KEY | NESTED, 4 + size, 1)
    brief = struct.pack("=HH", 4 + inner, 1 | NESTED) + head
    timed = struct.pack("=HH", 4 + inner + 12 * clocks, 1 | NESTED) + head
    return brief, timed, struct.Struct(f">12s{size}s{'4sQ' * clocks}").pack


@cache
def _place(table: str, name: str) -> bytes:
    return text(_TABLE, table) + text(_SET, name)


def ranges(spans: Iterable[Range], bits: int, now: float) -> Iterator[bytes]:
    """Two elements a range; one where the range reaches the last address."""
    size = bits // 8
    mark = attribute(_FLAGS, struct.pack(">I", _END))
    for span in spans:
        left = milliseconds(span.until, now)
        yield from keys([(span.first.to_bytes(size, "big"), left)], size)
        if span.last + 1 < 1 << bits:
            end = attribute(1, (span.last + 1).to_bytes(size, "big"))
            yield attribute(1 | NESTED, attribute(_KEY | NESTED, end) + mark)


def change(
    command: int, flags: int, table: str, name: str, elements: Iterable[bytes]
) -> Iterator[bytes]:
    """Messages that add or delete `elements`, as few as their size allows."""
    head = _place(table, name)
    part: list[bytes] = []
    size = 0
    for element in elements:
        part.append(element)
        size += len(element)
        if size > _LIST:
            yield _elements(command, flags, head, part)
            part, size = [], 0
    if part:
        yield _elements(command, flags, head, part)


def add_hosts(table: str, name: str, keys: bytes, left: Sequence[int]) -> Iterator[bytes]:
    """Messages that add IPv4 addresses to a hash set, each for so many milliseconds."""
    for at in range(0, len(left), _HOSTS):
        some = hosts(keys[4 * at : 4 * (at + _HOSTS)], left[at : at + _HOSTS])
        yield _elements(NEW_ELEMENTS, CREATE, _place(table, name), [some])


class Single:
    """A transaction that adds one element to a hash set, to be filled in and sent again.

    `size` is that of its key in bytes; `timed` is whether it ends.
    """

    __slots__ = ("_key", "_left", "prepared")

    def __init__(self, table: str, name: str, size: int, *, timed: bool) -> None:
        element = keys([(bytes(size), int(timed))], size, renew=True)
        (plain,) = change(NEW_ELEMENTS, CREATE, table, name, element)
        self.prepared = Prepared(SUBSYSTEM, plain)
        # An element ends with its key, or with the time twice, each after a header.
        end = self.prepared.start + len(plain)
        clock = len(_CLOCK) + _TIME.size
        self._left = (end - clock - _TIME.size, end - _TIME.size) if timed else ()
        last = end - clock * len(self._left)
        self._key = slice(last - size, last)

    def fill(self, key: bytes, left: int) -> Prepared:
        """The transaction for this element, until the next call; `left` is in milliseconds."""
        data = self.prepared.data
        data[self._key] = key
        for place in self._left:
            _TIME.pack_into(data, place, left)
        return self.prepared


def flush(table: str, name: str) -> bytes:
    """A message that empties a set."""
    body = _place(table, name)
    return message(SUBSYSTEM << 8 | DELETE_ELEMENTS, 0, INET, body)


def listing(table: str, name: str) -> bytes:
    """A request for every element of a set."""
    body = _place(table, name)
    return message(SUBSYSTEM << 8 | GET_ELEMENTS, DUMP, INET, body)


def _elements(command: int, flags: int, head: bytes, part: Sequence[bytes]) -> bytes:
    body = head + attribute(_ELEMENTS | NESTED, b"".join(part))
    return message(SUBSYSTEM << 8 | command, flags, INET, body)


def parse(answers: Iterable[memoryview]) -> Iterator[tuple[bytes, int | None, bool]]:
    """(key, milliseconds left or None, whether it ends an interval) of every element."""
    for body in answers:
        for kind, data in attributes(body):
            if kind == _ELEMENTS:
                for _, element in attributes(data):
                    yield _element(element)


def _element(data: memoryview) -> tuple[bytes, int | None, bool]:
    key, left, end = b"", None, False
    for kind, value in attributes(data):
        if kind == _KEY:
            key = bytes(value[4:])
        elif kind == _EXPIRATION:
            left = int.from_bytes(value, "big")
        elif kind == _FLAGS:
            end = bool(value[3] & _END)
    return key, left, end


def spans(elements: Iterable[tuple[bytes, int | None, bool]], bits: int, now: float) -> list[Range]:
    """The ranges of an interval set, in order."""
    points = sorted((int.from_bytes(key, "big"), not end, left) for key, left, end in elements)
    found: list[Range] = []
    start: tuple[int, int | None] | None = None
    for value, opens, left in points:
        if start is not None:
            found.append(_span(start, value - 1, now))
        start = (value, left) if opens else None
    if start is not None:
        found.append(_span(start, (1 << bits) - 1, now))
    return found


def _span(start: tuple[int, int | None], last: int, now: float) -> Range:
    first, left = start
    return Range(first, last, None if left is None else now + left / 1000)
