"""Questions are answered in order, posted ones too, and no failure of any of them is lost."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from guard.events import Block
from guard.firewall import wire
from guard.firewall.asking import Asking
from guard.firewall.wire import Packet, Verb
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Refused, Unavailable

A = Block(net("192.0.2.1"), None)
Answer = Callable[[Packet], tuple[Verb, bytes]]


@contextmanager
def other_side(answer: Answer) -> Iterator[tuple[Asking, list[Packet], socket.socket]]:
    """One that asks, what arrives at the other end, and that end; `answer` makes the answers."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arrived: list[Packet] = []

    def serve() -> None:
        while data := theirs.recv(wire.PACKET + 1):
            packet = wire.packet(data)
            arrived.append(packet)
            verb, body = answer(packet)
            for back in wire.packets(packet.number, verb, body):
                theirs.send(back)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield Asking(ours), arrived, theirs
    finally:
        ours.close()
        thread.join()
        theirs.close()


def done(packet: Packet) -> tuple[Verb, bytes]:
    """All is well."""
    return Verb.DONE, b""


def test_what_is_posted_is_done_before_what_is_asked_next():
    """In order, and the answer of a question is its own."""

    def answer(packet: Packet) -> tuple[Verb, bytes]:
        return Verb.DONE, b"false" if packet.verb is Verb.DISTURBED else b""

    with other_side(answer) as (asking, arrived, _):
        for _ in range(3):
            asking.post(Verb.APPLY, b"change")
        assert asking.ask(Verb.DISTURBED) == b"false"
        asking.post(Verb.APPLY, b"change")
        asking.block(A, 1.0, 2)
        found = [(packet.verb, packet.group) for packet in arrived]
        assert found == [(Verb.APPLY, 0)] * 3 + [(Verb.DISTURBED, 0), (Verb.APPLY, 0)] + [
            (Verb.APPLY, 2)
        ]


def test_the_first_failure_of_what_was_posted_is_raised_once():
    """The others are heard first, so that the next question hears its own answer."""

    def answer(packet: Packet) -> tuple[Verb, bytes]:
        return (Verb.DONE, b"") if packet.body != b"bad" else (Verb.UNAVAILABLE, b"no memory")

    with other_side(answer) as (asking, arrived, _):
        for body in (b"good", b"bad", b"good"):
            asking.post(Verb.APPLY, body)
        with pytest.raises(Unavailable, match="no memory"):
            asking.settle()
        assert len(arrived) == 3
        asking.settle()
        assert asking.ask(Verb.OPEN) == b""


def test_a_block_that_is_refused_is_said():
    """In the words of the other side."""
    with (
        other_side(lambda packet: (Verb.REFUSED, b"there is no group 9")) as (asking, _, _),
        pytest.raises(Refused, match="no group 9"),
    ):
        asking.block(A, 1.0, 9)


def test_very_many_may_be_posted():
    """Neither side waits for the other for ever, however many answers nobody has asked for."""
    body = wire.change(1.0, [Block(Network(4, n, 32), None) for n in range(3000)], [])
    with other_side(done) as (asking, arrived, _):
        for _ in range(500):
            asking.post(Verb.APPLY, body)
        asking.settle()
        assert len(arrived) == 500


def test_a_process_that_began_anew_owes_no_answers():
    """What was posted may or may not have been done: that is said once."""

    def answer(packet: Packet) -> tuple[Verb, bytes]:
        return (Verb.HELLO, b"{}") if packet.body == b"dies of it" else (Verb.DONE, b"yes")

    with other_side(answer) as (asking, _, _):
        asking.post(Verb.APPLY, b"dies of it")
        asking.post(Verb.APPLY, b"change")
        with pytest.raises(Unavailable, match="restarted"):
            asking.settle()
        assert asking.ask(Verb.OPEN) == b"yes"


def test_when_the_other_side_is_gone_each_call_says_so():
    """None waits for ever."""
    with other_side(done) as (asking, _, theirs):
        theirs.shutdown(socket.SHUT_RDWR)
        for call in (
            lambda: asking.ask(Verb.OPEN),
            lambda: asking.block(A, 1.0, 0),
            lambda: asking.post(Verb.APPLY, b""),
        ):
            with pytest.raises(Unavailable, match="gone"):
                call()
