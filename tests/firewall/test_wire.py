"""Whatever arrives is a message that Guard means, or is refused as a whole."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import Block
from guard.firewall.wire import (
    BadMessage,
    Inbox,
    Packet,
    Verb,
    change,
    done,
    packet,
    packets,
    read_change,
    read_hosts,
    read_single,
    single,
)
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net


@st.composite
def _networks(draw) -> Network:
    version = draw(st.sampled_from([4, 6]))
    bits = 32 if version == 4 else 128
    value = draw(st.integers(0, (1 << bits) - 1))
    return Network(version, value, bits).supernet(draw(st.integers(0, bits)))


_TIMES = st.floats(0, 1e12)
_BLOCKS = st.lists(st.builds(Block, _networks(), st.one_of(st.none(), _TIMES)), max_size=8)


@settings(deadline=None, max_examples=150)
@given(_TIMES, _BLOCKS, st.lists(_networks(), max_size=8))
def test_a_change_is_read_as_it_was_written(now, block, release):
    """Networks of both families, ends and for ever."""
    found = read_change(change(now, block, release))
    assert (found.now, list(found.block), found.release) == (now, block, release)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=120))
def test_any_bytes_are_a_change_or_a_bad_message(data):
    """Never another error, never a network with bits beyond its length."""
    try:
        found = read_change(data)
    except BadMessage:
        return
    for network in [*(network for network, _ in found.block), *found.release]:
        assert network.version in (4, 6)
        assert network.supernet(network.length) == network
        assert network.value >> network.bits == 0


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=40), max_size=10))
def test_any_packets_are_a_message_or_a_bad_message(many):
    """The inbox of the privileged process survives whatever it is sent."""
    inbox = Inbox()
    for data in many:
        try:
            inbox.put(packet(data))
        except BadMessage:
            continue


@pytest.mark.parametrize(
    "record",
    [
        (1, 5, 32, net("192.0.2.1").value, 5.0),
        (1, 4, 33, 0, 5.0),
        (1, 4, 24, net("192.0.2.1").value, 5.0),
        (1, 4, 32, 1 << 40, 5.0),
        (2, 4, 32, 1, 5.0),
        (1, 4, 32, 1, math.nan),
        (1, 4, 32, 1, -1.0),
    ],
)
def test_one_bad_record_spoils_the_message(record):
    """Version, length, host bits, size, meaning, time: each is checked."""
    what, version, length, value, until = record
    good = change(100.0, [Block(net("192.0.2.7"), None)], [])
    bad = struct.pack(">BBB16sd", what, version, length, value.to_bytes(16, "big"), until)
    with pytest.raises(BadMessage):
        read_change(good + bad)


def test_a_long_message_is_cut_and_put_together():
    """A hundred thousand blocks pass through packets of a size that a socket takes."""
    body = change(1.0, [Block(Network(4, n, 32), None) for n in range(100_000)], [])
    inbox = Inbox()
    sent = list(packets(7, Verb.REPLACE, body))
    assert max(map(len, sent)) < 200_000
    done = [inbox.put(packet(data)) for data in sent]
    assert done[:-1] == [None] * (len(sent) - 1)
    assert done[-1] == body


def test_the_rest_of_a_message_whose_beginning_is_lost_is_nothing():
    """Half a replacement would release whoever was in the other half."""
    body = change(1.0, [Block(Network(4, n, 32), None) for n in range(10_000)], [])
    sent = [packet(data) for data in packets(7, Verb.REPLACE, body)]
    inbox = Inbox()
    assert [inbox.put(each) for each in sent[1:]] == [None] * (len(sent) - 1)
    assert inbox.put(Packet(8, Verb.OPEN, True, True, b"")) == b""
    assert inbox.put(sent[-1]) is None


_NUMBERS = st.integers(1, 0xFFFFFFFF)


@settings(deadline=None, max_examples=150)
@given(_NUMBERS, st.integers(0, 0xFFFF), _TIMES, _networks(), st.one_of(st.none(), _TIMES))
def test_a_single_block_is_the_same_packet_as_a_change_of_one(number, group, now, network, until):
    """The short way writes and reads what the long way does."""
    block = Block(network, until)
    (sent,) = packets(number, Verb.APPLY, change(now, [block], []), group)
    assert single(number, group, now, block) == sent
    assert read_single(bytearray(sent), len(sent)) == (number, group, now, block)
    (answer,) = packets(number, Verb.DONE, b"")
    assert done(number) == answer


def _spoilt(draw, sent: bytes) -> bytes:
    place = draw(st.integers(4, len(sent) - 1))
    return sent[:place] + bytes([draw(st.integers(0, 255))]) + sent[place + 1 :]


@settings(deadline=None, max_examples=500)
@given(st.data(), _TIMES, _networks(), st.one_of(st.none(), _TIMES))
def test_what_the_short_way_reads_the_long_way_reads_alike(data, now, network, until):
    """A packet with wrong bytes is no single block, unless it is a whole one all the same."""
    sent = single(7, 0, now, Block(network, until))
    for _ in range(data.draw(st.integers(1, 3))):
        sent = _spoilt(data.draw, sent)
    found = read_single(bytearray(sent), len(sent))
    if found is None:
        return
    long = packet(sent)
    assert (long.verb, long.first, long.last) == (Verb.APPLY, True, True)
    read = read_change(long.body)
    assert (found.number, found.group, found.now) == (long.number, long.group, read.now)
    assert ([found.block], []) == (list(read.block), read.release)


@pytest.mark.parametrize("size", [0, 8, 61, 63])
def test_another_size_is_no_single_block(size: int):
    """The buffer still holds what came before."""
    assert (
        read_single(bytearray(single(1, 0, 1.0, Block(net("192.0.2.1"), None)) + b"x"), size)
        is None
    )


_HOSTS = st.lists(
    st.builds(Block, st.integers(0, 0xFFFFFFFF).map(lambda v: Network(4, v, 32)), _TIMES),
    min_size=1,
    max_size=5,
)


@settings(deadline=None, max_examples=500)
@given(st.data(), _TIMES, _HOSTS)
def test_hosts_are_read_as_the_change_that_they_are(data, now, block):
    """Whatever bytes are wrong, what is read at all is what is read the long way."""
    body = change(now, block, [])
    for _ in range(data.draw(st.integers(0, 3))):
        body = _spoilt(data.draw, body)
    hosts = read_hosts(body)
    if hosts is None:
        return
    found = read_change(body)
    values = struct.unpack(f">{len(hosts.until)}I", hosts.keys)
    blocks = [Block(Network(4, v, 32), end) for v, end in zip(values, hosts.until, strict=True)]
    assert (hosts.now, blocks, []) == (found.now, list(found.block), found.release)


@pytest.mark.parametrize("odd", ["2001:db8::1", "192.0.2.0/24", "::/0"])
def test_only_addresses_of_ipv4_are_hosts(odd: str):
    """What else there is in a change has it read the long way."""
    host = Block(net("192.0.2.1"), 9.0)
    assert read_hosts(change(1.0, [host], [])) == (bytes([192, 0, 2, 1]), [9.0], 1.0)
    assert read_hosts(change(1.0, [], [])) is None
    assert read_hosts(change(1.0, [host, Block(net(odd), 9.0)], [])) is None
    assert read_hosts(change(1.0, [host], [net("192.0.2.2")])) is None
    assert read_hosts(change(1.0, [host, Block(net("192.0.2.2"), None)], [])) is None
    assert read_hosts(change(1.0, [host, host._replace(until=math.nan)], [])) is None
    assert read_hosts(change(-1.0, [host], [])) is None
    assert read_hosts(change(1.0, [host], []) + b"x") is None
