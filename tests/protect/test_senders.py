"""The shipped ranges of mail senders."""

import json

from guard.lib.networks import parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.reserved import reserved
from guard.protect.senders import entries, shipped


def test_the_ranges_have_source_date_and_sense():
    """Dated, from a named source, none wide, none reserved, no sender twice."""
    data = shipped()
    assert "CC0" in data.source
    assert data.date >= "2026-08-11"
    assert len({s.name for s in data.senders}) == len(data.senders)
    networks = [network for sender in data.senders for network in sender.networks]
    assert len(networks) > 900
    assert all(n.length >= (12 if n.version == 4 else 32) for n in networks)
    bad = Prefixes(network for network, _ in reserved())
    assert not any(bad.overlaps(network) for network in networks)


def test_every_network_of_the_source_is_there(shared):
    """Attribution to owners loses nothing of the three lists."""
    held = Prefixes(network for network, _ in entries(shipped().senders))
    folder = shared / "feeds" / "misp"
    for name in ("google-gmail-sending-ips", "microsoft-office365-ip", "smtp-sending-ips"):
        for text in json.loads((folder / f"{name}.json").read_text())["list"]:
            assert held.covers(parse_network(text)), text


def test_a_sender_can_be_left_out():
    """Only the named one is."""
    gmail = parse_network("209.85.160.71")
    every = Prefixes(n for n, _ in entries(shipped().senders))
    without = entries(shipped().senders, ["gmail"])
    assert every.covers(gmail)
    assert not any(n.covers(gmail) for n, _ in without)
    assert {why for _, why in without} >= {"mail sender yahoo", "mail sender amazon-ses"}
