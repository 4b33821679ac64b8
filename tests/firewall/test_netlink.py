"""Messages are packed as the kernel wants them, and its refusals are told from silence."""

import errno
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netns import World, inside

from guard.firewall import nftsets
from guard.firewall.netlink import (
    ACK,
    REQUEST,
    KernelError,
    Netlink,
    attribute,
    attributes,
    message,
    text,
)

TABLE = "add table inet t\nadd set inet t s { type ipv4_addr; }\n"


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 200), st.binary(max_size=40))))
def test_attributes_are_read_as_they_were_packed(parts):
    """Any attributes survive, whatever their length does to the padding."""
    packed = b"".join(attribute(kind, data) for kind, data in parts)
    assert len(packed) % 4 == 0
    assert [(kind, bytes(data)) for kind, data in attributes(packed)] == parts


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_end(data):
    """Whatever the bytes, reading attributes ends and never reads beyond them."""
    assert sum(4 + len(value) for _, value in attributes(data)) <= len(data) + 3


def test_a_message_says_its_own_length_and_type():
    """The header is nlmsghdr and nfgenmsg."""
    packed = message(10 << 8 | 12, ACK, 1, text(1, "guard"), 10)
    size, kind, flags = struct.unpack_from("=IHH", packed)
    assert (size, kind, flags) == (len(packed), 10 << 8 | 12, ACK | REQUEST)
    assert packed[16:20] == bytes([1, 0, 0, 10])
    assert packed[20:] == b"\x0a\0\1\0guard\0\0\0"


@pytest.fixture
def netlink(world: World) -> Iterator[Netlink]:
    """A socket in the server's namespace."""
    with inside(world.server):
        made = Netlink()
        yield made
        made.close()


@pytest.mark.root
def test_a_refused_transaction_changes_nothing(netlink: Netlink, world: World):
    """One bad message, and the good one beside it is not carried out either."""
    with inside(world.server):
        world.run("nft", "-f", "-", given=TABLE)
        good = list(nftsets.change(12, 0x400, "t", "s", nftsets.keys([(b"\1\2\3\4", 0)], 4)))
        bad = list(nftsets.change(12, 0x400, "t", "none", nftsets.keys([(b"\1\2\3\4", 0)], 4)))
        with pytest.raises(KernelError) as caught:
            netlink.transact(nftsets.SUBSYSTEM, [*good, *bad])
        assert caught.value.code == errno.ENOENT
        assert not list(nftsets.parse(netlink.dump(nftsets.listing("t", "s"))))
        netlink.transact(nftsets.SUBSYSTEM, good)
        assert list(nftsets.parse(netlink.dump(nftsets.listing("t", "s")))) == [
            (b"\1\2\3\4", None, False)
        ]


@pytest.mark.root
def test_a_transaction_of_many_megabytes_fits(netlink: Netlink, world: World):
    """A batch far above the default size of a socket's buffer is sent whole."""
    world.run("nft", "-f", "-", given=TABLE)
    pairs = ((number.to_bytes(4, "big"), 0) for number in range(50_000))
    netlink.transact(nftsets.SUBSYSTEM, nftsets.change(12, 0x400, "t", "s", nftsets.keys(pairs, 4)))
    assert len(list(nftsets.parse(netlink.dump(nftsets.listing("t", "s"))))) == 50_000


@pytest.mark.root
def test_a_dump_of_what_is_not_there_is_an_error(netlink: Netlink):
    """Not an empty answer: somebody has to be told that the set is gone."""
    with pytest.raises(KernelError) as caught:
        netlink.dump(nftsets.listing("nothing", "here"))
    assert caught.value.code == errno.ENOENT


@pytest.mark.root
def test_an_empty_transaction_is_no_work(netlink: Netlink):
    """Nothing to do is not sent, and the socket is as good as before."""
    netlink.transact(nftsets.SUBSYSTEM, [])
    netlink.send([])


@pytest.mark.root
def test_a_prepared_transaction_is_sent_again_and_refused_in_the_same_words(
    netlink: Netlink, world: World
):
    """Filled in anew each time; what the kernel refuses is said, and the next answer is the next's.

    An answer that nobody read before it is none to it.
    """
    world.run("nft", "-f", "-", given=TABLE)
    single = nftsets.Single("t", "s", 4, timed=False)
    gone = nftsets.Single("t", "none", 4, timed=False)
    for number in range(3):
        netlink.transact_again(single.fill(bytes([1, 2, 3, number]), 0))
        with pytest.raises(KernelError) as caught:
            netlink.transact_again(gone.fill(b"\1\2\3\4", 0))
        assert caught.value.code == errno.ENOENT
    netlink._socket.send(netlink._number([nftsets.listing("nothing", "here")])[0][0])
    netlink.transact_again(single.fill(b"\1\2\3\3", 0))
    held = {key for key, _, _ in nftsets.parse(netlink.dump(nftsets.listing("t", "s")))}
    assert held == {bytes([1, 2, 3, number]) for number in range(4)}
