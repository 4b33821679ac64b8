"""Event lines begin with what no peer wrote, and are one ASCII line each."""

import json

import pytest

from guard.events import Acceptance, Claim, Kind, Rejection
from guard.lib.networks import parse_network
from guard.reporters.eventlog import EventLog, ban_line, rejection_line, unban_line


def test_a_rejection_begins_with_fixed_members():
    """Time in whole seconds, the address, the kind: filters anchor on this."""
    line = rejection_line(Rejection(1757675281.9, "91.92.251.215", Kind.RELAY_DENIED, count=3))
    assert line == (
        b'{"timestamp":1757675281,"addr":"91.92.251.215","event":"relay_denied","count":3}\n'
    )


def test_a_ban_of_a_block_names_an_address_and_the_block():
    """`addr` is always one address, so that every reader of addresses can read it."""
    claim = Claim(parse_network("2001:db8::/64"), "jail:kumomta-relay", "5\nx", 1.5, 61.5)
    text = ban_line(claim).decode()
    assert text.startswith('{"timestamp":1,"addr":"2001:db8::","event":"ban",')
    assert text.count("\n") == 1
    assert json.loads(text)["network"] == "2001:db8::/64"
    assert json.loads(text)["until"] == 61


def test_for_ever_is_null():
    """A ban without an end has `until` null."""
    claim = Claim(parse_network("192.0.2.1"), "manual", "by hand", 1.0, None)
    assert json.loads(ban_line(claim))["until"] is None


def test_unban():
    """An un-ban says who is free."""
    assert unban_line(parse_network("192.0.2.1"), 7.9) == (
        b'{"timestamp":7,"addr":"192.0.2.1","event":"unban"}\n'
    )


def test_the_file_holds_them_in_order(tmp_path):
    """Acceptances leave no line; the rest is there when the call returns."""
    log = EventLog(tmp_path / "events.jsonl", lambda: 0.0)
    log.heard([Acceptance(1, "192.0.2.9", "mail"), Rejection(2, "192.0.2.1", Kind.SCANNER)])
    log.banned([Claim(parse_network("192.0.2.1"), "manual", "x", 3.0, None)])
    log.unbanned([parse_network("192.0.2.1")], 4.0)
    log.heard([])
    log.close()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["scanner", "ban", "unban"]


def test_equal_rejections_are_counted(tmp_path):
    """One line at once, one with the count when the window is over; the sum is exact."""
    now = [100.0]
    log = EventLog(tmp_path / "events.jsonl", lambda: now[0], collapse=10.0)
    for _ in range(50):
        log.heard([Rejection(now[0], "192.0.2.1", Kind.RELAY_DENIED, 2)] * 10)
    log.heard([Rejection(now[0], "192.0.2.1", Kind.AUTH_FAILED)])
    log.flush(109.0)
    now[0] = 110.0
    log.flush(110.0)
    log.heard([Rejection(now[0], "192.0.2.1", Kind.RELAY_DENIED)])
    log.close()
    told = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(line["event"], line["count"]) for line in told] == [
        ("relay_denied", 2),
        ("auth_failed", 1),
        ("relay_denied", 998),
        ("relay_denied", 1),
    ]


@pytest.mark.parametrize(("count", "counts"), [(1, [1]), (4, [1] * 4), (2500, [1] * 1000 + [1500])])
def test_without_collapsing_each_is_a_line(tmp_path, count, counts):
    """A stock fail2ban counts lines, and equal rejections may come as one with a count."""
    log = EventLog(tmp_path / "events.jsonl", lambda: 5.0)
    log.heard([Rejection(5.0, "192.0.2.1", Kind.SCANNER, count=count)])
    log.close()
    lines = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["count"] for line in lines] == counts
