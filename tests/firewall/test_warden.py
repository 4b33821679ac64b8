"""Every verb has an answer, and every failure is one."""

import json

import pytest

from guard.events import Block
from guard.firewall import wire
from guard.firewall.dryrun import DryRun
from guard.firewall.warden import answer, block
from guard.firewall.wire import Verb
from guard.lib.networks import parse_network as net
from guard.roles import Unavailable

A = net("192.0.2.1")


class Failing(DryRun):
    """A back end without memory."""

    def blocked(self, now):
        """Fails."""
        raise Unavailable("no memory")

    def apply(self, block, release, now):
        """Fails."""
        raise Unavailable("no memory")


def test_verbs_do_what_the_role_says():
    """Blocks, replaces, lists."""
    firewall = DryRun()
    body = wire.change(1.0, [Block(A, None)], [])
    assert answer(firewall, Verb.APPLY, body) == (Verb.DONE, b"")
    assert answer(firewall, Verb.BLOCKED, wire.change(1.0, [], [])) == (Verb.DONE, body)
    assert answer(firewall, Verb.REPLACE, wire.change(1.0, [], [])) == (Verb.DONE, b"")
    assert firewall.blocked(1.0) == {}
    assert answer(firewall, Verb.OPEN, b"") == (Verb.DONE, b"null")


class Hosts(DryRun):
    """A back end that takes all hosts at once, or as `takes` says."""

    def __init__(self, takes: bool) -> None:
        super().__init__()
        self.takes, self.taken = takes, []

    def block_hosts(self, keys, until, now):
        """Remembers them."""
        self.taken.append((keys, until, now))
        return self.takes


@pytest.mark.parametrize("takes", [True, False])
def test_hosts_are_handed_on_as_such_to_who_takes_them(takes: bool):
    """Who cannot, or is asked for more than that, is told of blocks."""
    firewall = Hosts(takes)
    answer(firewall, Verb.APPLY, wire.change(1.0, [Block(A, 9.0)], []))
    assert firewall.taken == [(A.packed, [9.0], 1.0)]
    assert firewall.blocked(1.0) == ({} if takes else {A: 9.0})
    answer(firewall, Verb.APPLY, wire.change(1.0, [Block(A, None)], []))
    assert firewall.blocked(1.0) == {A: None}
    assert len(firewall.taken) == 1


def test_failures_are_answers():
    """The kind of the failure and its words."""
    ask = wire.change(1.0, [], [])
    assert answer(Failing(), Verb.BLOCKED, ask) == (Verb.UNAVAILABLE, b"no memory")
    assert answer(DryRun(), Verb.APPLY, b"junk")[0] is Verb.REFUSED
    assert answer(DryRun(), Verb.REPLACE, wire.change(1.0, [], [A]))[0] is Verb.REFUSED


@pytest.mark.parametrize("verb", [Verb.EXPIRE, Verb.FAULTS, Verb.DISTURBED, Verb.DROPPED])
def test_what_a_back_end_cannot_do_is_refused(verb: Verb):
    """The dry run has none of the abilities."""
    assert answer(DryRun(), verb, wire.change(1.0, [], []))[0] is Verb.REFUSED


@pytest.mark.parametrize("verb", [Verb.HELLO, Verb.DONE, Verb.UNAVAILABLE])
def test_answers_are_no_questions(verb: Verb):
    """A verb of the way back is refused on the way there."""
    assert answer(DryRun(), verb, b"")[0] is Verb.REFUSED
    assert json.loads(answer(DryRun(), Verb.CLEAR, b"")[1]) is None


def test_a_single_block_is_done_or_its_failure_is_said():
    """As `answer` does, for the firewall itself and for a group that there is not."""
    firewall = DryRun()
    single = wire.Single(1, 0, 1.0, Block(A, None))
    assert block(firewall, single) is None
    assert firewall.blocked(1.0) == {A: None}
    assert block(Failing(), single) == (Verb.UNAVAILABLE, b"no memory")
    assert block(firewall, single._replace(group=3)) == (Verb.REFUSED, b"there is no group 3")
