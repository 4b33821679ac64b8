"""The pretence keeps the role's promises and says what it would do."""

import logging

import pytest

from guard.events import Block
from guard.firewall.dryrun import DryRun
from guard.lib.networks import parse_network as net

A, B = net("192.0.2.1"), net("2001:db8::/64")


def test_it_remembers_until_the_end():
    """A block is there until its end, and a release takes it away."""
    firewall = DryRun()
    firewall.open()
    firewall.apply([Block(A, 100.0), Block(B, None)], [], 50.0)
    assert firewall.blocked(99.0) == {A: 100.0, B: None}
    assert firewall.blocked(100.0) == {B: None}
    firewall.apply([], [B, A], 101.0)
    assert firewall.blocked(101.0) == {}
    firewall.close()


def test_a_block_wins_over_a_release_of_the_same_network():
    """As with every back end: releases first."""
    firewall = DryRun()
    firewall.apply([Block(A, None)], [A], 1.0)
    assert firewall.blocked(1.0) == {A: None}


def test_a_block_that_is_over_releases():
    """An end in the past takes the block away."""
    firewall = DryRun()
    firewall.apply([Block(A, None)], [], 1.0)
    firewall.apply([Block(A, 0.5)], [], 1.0)
    assert firewall.blocked(1.0) == {}


def test_replace_forgets_the_rest_and_clear_everything():
    """What is not named is gone."""
    firewall = DryRun()
    firewall.apply([Block(A, None)], [], 1.0)
    firewall.replace(iter([Block(B, None), Block(A, 0.5)]), 1.0)
    assert firewall.blocked(1.0) == {B: None}
    firewall.close()
    assert firewall.blocked(1.0) == {B: None}
    firewall.close(clear=True)
    assert firewall.blocked(1.0) == {}


def test_it_says_what_it_would_do(caplog: pytest.LogCaptureFixture):
    """One line a network while they are few, one line when they are many."""
    firewall = DryRun()
    with caplog.at_level(logging.INFO):
        firewall.apply([Block(A, 700.0), Block(B, None)], [], 100.0)
        firewall.apply([], [A], 100.0)
        many = [Block(net(f"10.0.0.{n}"), None) for n in range(100)]
        firewall.apply(many, [], 100.0)
    assert caplog.messages == [
        "would block 192.0.2.1 for 10m",
        "would block 2001:db8::/64 for ever",
        "would release 192.0.2.1",
        "would block 100 networks and release 0",
    ]
