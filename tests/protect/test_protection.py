"""Precedence of protection, tested on the network to be blocked, at any time, in no time."""

import threading
import time

import pytest

from guard.lib.networks import Network, parse_network
from guard.protect.allow import parse_allowed
from guard.protect.own import Here
from guard.protect.protection import LAYERS, Protectors
from guard.protect.settings import ProtectSettings

net = parse_network


NOWHERE = Here()


def build(*relay_hosts, here=NOWHERE, **settings):
    return Protectors.build(
        ProtectSettings(**settings), [net(text) for text in relay_hosts], here=lambda: here
    )


def test_every_layer_protects_with_its_reason():
    """Each kind of protection says what it is."""
    made = build(
        "185.1.0.0/16",
        here=Here(["185.2.0.1"], ["185.2.0.254"], ["185.3.0.53"]),
        allow=(parse_allowed("185.4.0.0/24"),),
        proxies=(net("185.5.0.1"),),
    )
    expected = {
        "185.2.0.1": "own address",
        "185.2.0.254": "gateway",
        "185.3.0.53": "name server",
        "127.0.0.1": "loopback (RFC 1122, 3.2.1.3)",
        "10.0.0.0/8": "private (RFC 1918)",
        "185.5.0.1": "proxy 185.5.0.1",
        "185.1.7.7": "relay_hosts 185.1.0.0/16",
        "185.4.0.77": "allow 185.4.0.0/24",
        "209.85.160.71": "mail sender gmail",
        "185.9.9.9": None,
        "2a03::1": None,
    }
    assert {text: made.protects(net(text)) for text in expected} == expected


def test_the_network_is_tested_not_the_address():
    """A block that covers one protected neighbour is protected."""
    made = build(allow=(parse_allowed("185.4.0.77"),))
    assert made.protects(net("185.4.0.78")) is None
    assert made.protects(net("185.4.0.0/24")) == "allow 185.4.0.77"
    assert made.protects(net("0.0.0.0/0")) is not None
    assert made.parts(net("185.4.0.0/24")) == [(net("185.4.0.77"), "allow 185.4.0.77")]


def test_the_first_layer_names_the_reason():
    """Where layers overlap, the reason is that of the layer with precedence."""
    made = Protectors()
    for name in reversed(LAYERS):
        made.replace(name, [(net("185.0.0.0/16"), name)])
        assert made.protects(net("185.0.1.1")) == name
    for name, after in zip(LAYERS, [*LAYERS[1:], None], strict=True):
        assert made.protects(net("185.0.1.1")) == name
        made.replace(name, [])
        assert made.protects(net("185.0.1.1")) == after


def test_reserved_own_and_senders_can_be_switched_off():
    """A laboratory bans private addresses; an operator may judge senders for himself."""
    off = build(reserved=False, own=False, senders=False, here=Here(["10.0.0.1"]))
    assert off.protects(net("10.0.0.1")) is None
    assert off.protects(net("209.85.160.71")) is None
    assert build(except_senders=("gmail",)).protects(net("209.85.160.71")) is None
    assert list(ProtectSettings(except_senders=("gmial",)).faults())


def test_a_change_is_counted_and_no_change_is_none():
    """`version` lets others see that blocks must be looked at again."""
    made = build()
    before = made.version
    assert made.replace("allow", [(net("185.4.0.1"), "allow x")])
    assert made.version == before + 1
    assert not made.replace("allow", [(net("185.4.0.1"), "allow x")])
    assert made.version == before + 1
    assert made.layer("allow") == ((net("185.4.0.1"), "allow x"),)
    assert made.prefixes.covers(net("185.4.0.1"))
    with pytest.raises(ValueError, match="no such layer"):
        made.replace("friends", [])


def test_a_change_is_seen_whole_or_not_at_all():
    """While one thread swaps a layer, another never finds the address unprotected."""
    made = build()
    made.replace("allow", [(net("185.4.0.0/24"), "allow a")])
    missed, done = [], threading.Event()

    def ask():
        while not done.is_set():
            if made.protects(net("185.4.0.9")) is None:
                missed.append(1)

    asking = threading.Thread(target=ask)
    asking.start()
    for i in range(60):
        made.replace("allow", [(net("185.4.0.0/24"), f"allow {i}"), (net("185.7.0.0/16"), "b")])
    done.set()
    asking.join()
    assert not missed


def test_a_lookup_with_100_000_protected_networks_costs_microseconds():
    """One or two on an idle machine; the bound leaves room for a busy one."""
    made = build()
    made.replace("allow", [(Network(4, i << 14, 28), "allow") for i in range(100_000)])
    asked = [Network(4, (i * 2654435761) % (1 << 32), 32) for i in range(20_000)]
    best = 1.0
    for _ in range(5):
        begun = time.thread_time()
        for one in asked:
            made.protects(one)
        best = min(best, (time.thread_time() - begun) / len(asked))
    assert best < 5e-6
