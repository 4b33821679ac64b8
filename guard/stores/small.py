"""What is held of one address, in fewer bytes than jails/window.py counts with.

Where there are many addresses each has a value of one of three forms:

    single  one rejection, of the jails that are `usual` in its table: its time, a float
    small   up to MOST of the same jails: always SIZE bytes; their number, that of the set of
            jails, the first time, and how far each later one is from it
    hits    anything else, as in jails/window.py

A small value has one size from the beginning: values that grow leave holes behind them in memory,
which took as much again as the values. Times lose nothing: a positive double read as an integer
grows as the time does, by 2^-22 s a step in this century, and the steps from the first are kept.
"""

from __future__ import annotations

from struct import Struct

from guard.jails.window import BYTE, ENTRY, Filled, Hits, Rule, add, pack, unpack_from
from guard.stores.keys import Key

SIZE = 75  # no multiple of ENTRY, so that no hits are as long
MOST = 14
STEP = 5
PAIR = 2 * ENTRY
_FARTHEST = 1 << 8 * STEP  # three days
_LAST = 1 << 63  # of no positive time
_HEAD = Struct("<BBQ")
_FIRST = _HEAD.size
_pack_head, _unpack_head = _HEAD.pack, _HEAD.unpack_from
# One more than so many.
_PACK = [Struct("<BBQ").pack] + [
    Struct(f"<BBQ{STEP * held - STEP}s{STEP}s{STEP * (MOST - 1 - held)}x").pack
    for held in range(1, MOST)
]
_PAIR = Struct(f"<BBQ{STEP}s{STEP * (MOST - 2)}x").pack
_pack_double, _pack_bits = Struct("<d").pack, Struct("<Q").pack
_unpack_bits, _unpack_double = Struct("<Q").unpack, Struct("<d").unpack
_steps = int.from_bytes

Value = float | bytes


def bits_of(time: float) -> int:
    """A positive time as an integer that grows as it does."""
    bits: int = _unpack_bits(_pack_double(time))[0]
    return bits


def count_into(
    values: dict[Key, Value],
    key: Key,
    value: Value | None,
    time: float,
    rejections: int,
    rule: Rule,
    usual: int,
) -> Filled:
    """Adds `rejections` at `time` to the `value` of `key`: the jails filled, each with its sum."""
    filled: Filled = []
    # The common case first: one more, later than all before, that fills nothing.
    new = one_more(value, time, rule, usual) if rejections == 1 else None
    if new is None:
        new, filled = counted(value, time, rejections, rule, usual)
    if new is None:
        values.pop(key, None)
    else:
        values[key] = new
    return filled


def one_more(value: Value | None, time: float, rule: Rule, usual: int) -> Value | None:
    """`value` of a table of `usual`, with one more rejection by `rule` at `time`.

    None where it is late, may fill a window, or does not fit: then `counted` knows.
    """
    if value is None:
        plain = rule.number == usual and rule.least > ENTRY
        return time if plain and type(time) is float and time > 0 else None
    if isinstance(value, float):
        steps = _unpack_bits(_pack_double(time))[0] - (first := bits_of(value))
        if rule.number != usual or usual >= BYTE or not 0 <= steps < _FARTHEST:
            return None
        if rule.least <= PAIR:
            return None
        pair: bytes = _PAIR(2, usual, first, steps.to_bytes(STEP, "big"))
        return pair
    if len(value) != SIZE:
        return None
    held, number, first = _unpack_head(value)
    steps = _unpack_bits(_pack_double(time))[0] - first
    if number != rule.number or held == MOST or not 0 <= steps < _FARTHEST:
        return None
    before, step = value[_FIRST : _FIRST + STEP * held - STEP], steps.to_bytes(STEP, "big")
    # Bytes of one length, the highest first, compare as their numbers do.
    if before[-STEP:] > step or (
        (held + 1) * ENTRY >= rule.least and _may_fill(value, held + 1, time, rule)
    ):
        return None
    more: bytes = _PACK[held](held + 1, number, first, before, step)
    return more


def counted(
    value: Value | None, time: float, rejections: int, rule: Rule, usual: int
) -> tuple[Value | None, Filled]:
    """The same of any `rejections`: what is then held, and the windows filled."""
    if type(value) is bytes and len(value) != SIZE:
        hits, filled = add(value, time, rejections, rule)
        if not hits or hits[8] != usual:
            return hits or None, filled
        return value_of(hits, usual), filled
    alone = rejections == 1 and len(rule.jails) == 1
    if alone and isinstance(value, bytes) and len(value) == SIZE:
        jail, maxretry, findtime = rule.jails[0]
        total = _within(value, time, findtime) if value[1] == rule.number else 0
        if total >= maxretry:  # and with it all that was held is gone
            return None, [(jail, total)]
    hits = b"" if value is None else hits_of(value, usual)
    hits, filled = add(hits, time, rejections, rule)
    if not hits:
        return None, filled
    # Who filled a window is counted by fewer jails than usual, then by both: not there and back.
    return hits if hits[8] != usual else value_of(hits, usual), filled


def _may_fill(value: bytes, held: int, time: float, rule: Rule) -> bool:
    """Whether one more at `time`, the last of `held`, may fill a window."""
    for _, maxretry, findtime in rule.jails:
        # As many as are missing must be there, the first of them within the window.
        which = held - maxretry
        if which >= 0 and (time <= findtime or _at(value, which) > bits_of(time - findtime)):
            return True
    return False


def _within(value: bytes, time: float, findtime: float) -> int:
    """How many a window holds with one more at `time`; 0 where that is late or not sure."""
    held, new = value[0], bits_of(time)
    if time <= findtime or not _at(value, held - 1) <= new < _LAST:
        return 0
    oldest = bits_of(time - findtime)
    if _at(value, 0) > oldest:
        return held + 1
    return 1 + sum(1 for which in range(held) if _at(value, which) > oldest)


def _at(value: bytes, which: int) -> int:
    """The time of one, as an integer."""
    first: int = _unpack_head(value)[2]
    end = _FIRST + STEP * which
    return first + _steps(value[end - STEP : end], "big") if which else first


def hits_of(value: Value, usual: int) -> Hits:
    """What a value of a table of `usual` holds."""
    if isinstance(value, float):
        return pack(value, usual)
    if len(value) != SIZE:
        return value
    held, number, _ = _unpack_head(value)
    every = (_unpack_double(_pack_bits(_at(value, which)))[0] for which in range(held))
    return b"".join([pack(time, number) for time in every])


def value_of(hits: Hits, usual: int) -> Value:
    """The value of some hits."""
    held = len(hits) // ENTRY
    first, number = unpack_from(hits)
    if held > MOST or number >= BYTE or not 0 < first < float("inf"):
        return hits
    if held == 1 and number == usual:
        return float(first)
    if hits[8::ENTRY].count(number) < held or any(hits[9::ENTRY]):
        return hits
    base = bits_of(first)
    steps = [bits_of(unpack_from(hits, at)[0]) - base for at in range(ENTRY, len(hits), ENTRY)]
    if steps and not 0 <= steps[-1] < _FARTHEST:
        return hits
    later = b"".join([step.to_bytes(STEP, "big") for step in steps])
    return (_pack_head(held, number, base) + later).ljust(SIZE, b"\0")
