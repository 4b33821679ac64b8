"""What a call asks of Redis, and what is read in a value."""

import struct

import msgspec

from guard.events import Offence, Overflow, Part, Window
from guard.lib.networks import parse_network
from guard.stores.redis_batch import Call, bits_of, index_key, read, slot_of, text_of

A, B = parse_network("192.0.2.1"), parse_network("2001:db8:0:1::/64")
WINDOWS = {"relay": Window(3, 600.0, 86400.0), "slow": Window(9, 86400.0, 86400.0)}
NOW = 1_757_675_281.5


def asked(call):
    """Rules, chunks and times of a call."""
    packed, times = call.arguments
    rules, chunks = msgspec.msgpack.decode(packed)
    return rules, chunks, struct.unpack(f"<{len(times) // 8}d", times)


def test_the_times_of_one_address_are_summed():
    """However many offences, an address is asked for once, and all tables of its slot are named."""
    offences = [Offence("relay+slow", A, NOW + n) for n in range(5)]
    call = Call([Part(offences, WINDOWS)])
    rules, chunks, times = asked(call)
    assert rules == [["relay+slow", "relay", 3, 600.0, "slow", 9, 86400.0]]
    first = int(NOW // 2**17) - 1
    assert chunks == [[3, 17, first, ["192.0.2.1"], 1, 5]]
    assert times == tuple(NOW + n for n in range(5))
    index = index_key(slot_of(text_of(A)))
    assert call.keys == [index, *(f"{index}:17:{first + n}" for n in range(3))]
    assert call.filled([1, 3, 1, 3]) == [(2, Overflow("relay", A, NOW + 2, 3))]


def test_what_is_no_row_of_times_is_asked_one_by_one():
    """Other jails, other numbers, or a late one: each with its own rule, in order."""
    offences = [
        Offence("relay+slow", A, NOW),
        Offence("slow", A, NOW - 1.0),
        Offence("slow", B, NOW, 7),
    ]
    rules, chunks, times = asked(Call([Part(offences, WINDOWS)]))
    number = {rule[0]: at for at, rule in enumerate(rules, 1)}
    both, slow = number["relay+slow"], number["slow"]
    found = {chunk[3][0]: chunk[4:] for chunk in chunks}
    assert found["192.0.2.1"] == [[0], [[both, NOW, 1, slow, NOW - 1.0, 1]]]
    assert found["2001:db8:0:1::/64"] == [[0], [[slow, NOW, 7]]]
    assert times == ()


def test_parts_have_their_own_rules():
    """A suspect is judged by a lower bar, in the same call."""
    lowered = {"relay": WINDOWS["relay"]._replace(maxretry=1)}
    parts = [
        Part([Offence("relay", A, NOW)], WINDOWS),
        Part([Offence("relay", B, NOW)], lowered),
    ]
    rules, _, _ = asked(Call(parts))
    assert rules == [["relay", "relay", 3, 600.0], ["relay", "relay", 1, 600.0]]


def test_bits_are_the_power_of_two_above():
    """As long as the span, or up to twice that."""
    spans = {600.0: 10, 1024.0: 10, 1024.5: 11, 86400.0: 17, 1.0: 0, 0.5: 0}
    for span, bits in spans.items():
        assert bits_of(Window(5, 1.0, span)) == bits
        assert 2**bits >= span


def test_a_value_is_read_or_nothing():
    """Sections of jails and times; what is cut off or strange is not believed."""
    value = b"\x01a\x02\x00" + struct.pack("<2d", 1.0, 2.0) + b"\x03a+b\x01\x00" + bytes(8)
    assert read(value) == {"a": (1.0, 2.0), "a+b": (0.0,)}
    assert read(b"") == {}
    for end in range(1, len(value)):
        assert read(value[:end]) in ({}, {"a": (1.0, 2.0)})
