"""The exact sliding window: when has an address done enough?

What one address did is kept once, however many jails count it: a bytes value of ENTRY bytes per
rejection, oldest first, each the time and the number of the set of jails that still hold it
against the address. A window that fills is emptied by taking its jail out of those sets. These
are small values, for there are millions of them. Nothing here reads a clock: time is the time of
the rejection, so that an old log gives the bans it would have given.

fail2ban (1.1) rescales one counter per jail instead and bans a little earlier or later at the edge.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from struct import Struct

from guard.events import JOIN, Window

_ENTRY = Struct("<dH")
ENTRY = _ENTRY.size
pack, unpack_from = _ENTRY.pack, _ENTRY.unpack_from
_unpack_all = _ENTRY.iter_unpack
BYTE = 256

Hits = bytes
Entry = tuple[float, int]


class Sets:
    """Sets of jails as small numbers; 0 is the empty one."""

    def __init__(self, names: Iterable[str] = ("",)) -> None:
        self.names: list[str] = []
        self.small = True  # every number fits into a byte, and bytes.translate can change them
        self._numbers: dict[str, int] = {}
        self._without: dict[tuple[int, str], int] = {}
        self.jails: list[tuple[str, ...]] = []
        self._holds: dict[str, bytes] = {}
        self._less: dict[str, bytes] = {}
        for name in names:
            self.number(name)

    def number(self, name: str) -> int:
        """The number of the set `name`: jails with JOIN between them."""
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = len(self.names)
            self.names.append(name)
            self.small = number < BYTE
            self.jails.append(tuple(name.split(JOIN)) if name else ())
            self._holds, self._less = {}, {}
        return number

    def without(self, number: int, jail: str) -> int:
        """The number of the set less `jail`."""
        key = number, jail
        left = self._without.get(key)
        if left is None:
            rest = JOIN.join(name for name in self.jails[number] if name != jail)
            left = self._without[key] = self.number(rest)
        return left

    def holds(self, jail: str) -> bytes:
        """For each number whether the set has `jail`."""
        held = self._holds.get(jail)
        if held is None:
            held = bytes(jail in jails for jails in self.jails).ljust(BYTE, b"\0")
            self._holds[jail] = held
        return held

    def less(self, jail: str) -> bytes:
        """For each number that of the set less `jail`. There may be too many: see `small`."""
        left = self._less.get(jail)
        if left is None:
            # The names grow by what is left of them.
            numbers = [self.without(self.number(name), jail) for name in self.names]
            left = bytes(number % BYTE for number in numbers).ljust(BYTE, b"\0")[:BYTE]
            self._less[jail] = left
        return left


class Reaches(dict[int, float]):
    """By the number of a set, how long before one by these jails its rejections may be held.

    For ever, where another jail is in the set: what that one counts is not known here.
    """

    def __init__(self, sets: Sets, findtimes: Mapping[str, float]) -> None:
        self._sets, self._findtimes = sets, findtimes

    def __missing__(self, number: int) -> float:
        held = [self._findtimes.get(jail, float("inf")) for jail in self._sets.jails[number]]
        reach = self[number] = max(held, default=0.0)
        return reach


class Rule:
    """How one call judges the rejections of the set `name` of jails, by its `windows`.

    `known` has a window of every jail that was ever counted, for what others hold.
    With less than `least` bytes held no window can fill; from `most` on what is old is thrown away.
    `tables` is what `judged` returned, when there were `size` sets.
    """

    __slots__ = (
        *("jails", "least", "most", "number", "sets", "windows"),
        *("reaches", "size", "tables"),
    )

    def __init__(
        self, name: str, windows: Mapping[str, Window], sets: Sets, known: Mapping[str, Window]
    ) -> None:
        self.sets, self.windows = sets, known
        self.number = sets.number(name)
        self.jails = [(jail, *windows[jail][:2]) for jail in sets.jails[self.number]]
        self.least = ENTRY * min(maxretry for _, maxretry, _ in self.jails)
        self.most = 2 * ENTRY * sum(maxretry for _, maxretry, _ in self.jails)
        self.reaches = Reaches(sets, {jail: findtime for jail, _, findtime in self.jails})
        self.size = 0
        self.tables: list[tuple[str, int, float, bytes, bytes]] = []

    def judged(self) -> list[tuple[str, int, float, bytes, bytes]]:
        """The jails, each with what `Sets.holds` and `Sets.less` say of it, for `size` sets."""
        sets = self.sets
        for jail, _, _ in self.jails:
            sets.less(jail)  # which may make sets that there were not
        self.tables = [
            (jail, maxretry, findtime, sets.holds(jail), sets.less(jail))
            for jail, maxretry, findtime in self.jails
        ]
        self.size = len(sets.names)
        return self.tables


Filled = list[tuple[str, int]]


def add(hits: Hits, time: float, rejections: int, rule: Rule) -> tuple[Hits, Filled]:
    """Adds `rejections` at `time`: what is then held, and the jails filled, each with its sum.

    A window reaches `findtime` seconds back from the jail's newest rejection; one exactly that old
    is out. A rejection that comes late is put in its place, or ignored when it is out of the
    window. A window that fills starts anew, empty; it never holds `maxretry` rejections or more.
    """
    size = len(hits)
    later = not size or time >= unpack_from(hits, size - ENTRY)[0]
    return (add_next if later else add_exactly)(hits, time, rejections, rule)


def add_next(hits: Hits, time: float, rejections: int, rule: Rule) -> tuple[Hits, Filled]:
    """The same for what is not before the last, without a look at each entry."""
    size, number, sets = len(hits), rule.number, rule.sets
    tables = rule.tables if rule.size == len(sets.names) else rule.judged()
    after = size + ENTRY * rejections
    if not sets.small or after > rule.most:
        return add_exactly(hits, time, rejections, rule)
    if after < rule.least:
        return hits + pack(time, number) * rejections, []
    numbers = b""
    filled: Filled = []
    for jail, maxretry, findtime, holds, less in tables:
        # As many as are missing must be there, the first of them within the window ...
        first = size - ENTRY * (maxretry - rejections)
        if first < 0 or (first < size and unpack_from(hits, first)[0] <= time - findtime):
            continue
        # ... and held by this jail: each low byte is the number of a set.
        numbers = numbers or hits[8::ENTRY]
        held = numbers.translate(holds)
        total = held.count(1) + rejections
        if first and total >= maxretry:
            total = held.count(1, _first_after(hits, time - findtime)) + rejections
        if total >= maxretry:
            filled.append((jail, total))
            number = less[number]
            numbers = numbers.translate(less)
    if not filled:
        return _less_old(hits, time, rule) + pack(time, number) * rejections, filled
    held = _less_old(_renumbered(hits, numbers), time, rule)
    return held + (pack(time, number) * rejections if number else b""), filled


def _first_after(hits: Hits, time: float) -> int:
    """How many entries are of `time` or before."""
    count = 0
    for at, _ in _unpack_all(hits):
        if at > time:
            break
        count += 1
    return count


def _renumbered(hits: Hits, numbers: bytes) -> Hits:
    """The entries with other sets, and without those of the empty set."""
    empty = numbers.count(0)
    if empty == len(numbers):
        return b""
    entries = bytearray(hits)
    entries[8::ENTRY] = numbers
    if not empty:
        return bytes(entries)
    kept = (bytes(entries[at * ENTRY : at * ENTRY + ENTRY]) for at, n in enumerate(numbers) if n)
    return b"".join(kept)


def _less_old(hits: Hits, time: float, rule: Rule) -> Hits:
    """Without the oldest that are out of the windows of all jails that held them."""
    first, reaches = 0, rule.reaches
    while first < len(hits):
        at, number = unpack_from(hits, first)
        if at > time - reaches[number]:
            break
        first += ENTRY
    return hits[first:] if first else hits


def add_exactly(
    hits: Hits, time: float, rejections: int, rule: Rule
) -> tuple[Hits, list[tuple[str, int]]]:
    """The same whatever is held, entry by entry."""
    sets, number = rule.sets, rule.number
    entries: list[Entry] = list(_unpack_all(hits))
    filled: Filled = []
    for jail, maxretry, findtime in rule.jails:
        holds = sets.holds(jail)
        times = [at for at, held in entries if holds[held]]
        oldest = (max(times[-1], time) if times else time) - findtime
        if time <= oldest:
            number = sets.without(number, jail)
            continue
        total = len(times) - bisect_right(times, oldest) + rejections
        if total >= maxretry:
            filled.append((jail, total))
            number = sets.without(number, jail)
            entries = [(at, sets.without(held, jail)) for at, held in entries]
    if number:
        place = bisect_right(entries, time, key=_time)
        entries[place:place] = [(time, number)] * rejections
    return _packed(_still_held(entries, rule)), filled


def _time(entry: Entry) -> float:
    return entry[0]


def _still_held(entries: list[Entry], rule: Rule) -> list[Entry]:
    """Without what no jail holds, or what is out of the windows of all that do."""
    jails, windows = rule.sets.jails, rule.windows
    newest = {jail: at for at, held in entries for jail in jails[held]}
    oldest = {jail: at - windows[jail].findtime for jail, at in newest.items()}
    return [entry for entry in entries if any(entry[0] > oldest[jail] for jail in jails[entry[1]])]


def _packed(entries: Iterable[Entry]) -> Hits:
    return b"".join([pack(at, number) for at, number in entries])


def times_of(hits: Hits, sets: Sets, windows: Mapping[str, Window]) -> list[tuple[str, float]]:
    """Each jail in whose window a rejection is, and when that was; oldest first."""
    held = [(jail, at) for at, number in _unpack_all(hits) for jail in sets.jails[number]]
    newest = dict(held)
    return [pair for pair in held if pair[1] > newest[pair[0]] - windows[pair[0]].findtime]


def merged(one: Hits, other: Hits) -> Hits:
    """What both hold, in order."""
    return _packed(sorted([*_unpack_all(one), *_unpack_all(other)]))


def span_of(window: Window) -> float:
    """How long what a jail counts is kept together with what others do."""
    return window.span or window.findtime


def parts(hits: Hits, sets: Sets, windows: Mapping[str, Window]) -> dict[float, Hits]:
    """`hits` by how long their jails keep them, where `windows` now says so differently."""
    found: dict[float, list[Entry]] = {}
    for at, number in _unpack_all(hits):
        by_span: dict[float, list[str]] = {}
        for jail in sets.jails[number]:
            by_span.setdefault(span_of(windows[jail]), []).append(jail)
        for span, jails in by_span.items():
            found.setdefault(span, []).append((at, sets.number(JOIN.join(jails))))
    return {span: _packed(entries) for span, entries in found.items()}
