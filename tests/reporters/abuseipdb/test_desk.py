"""What a command asks of the reporter."""

import pytest
from abuseipdb_host import NOON, claim
from abuseipdb_server import DAY

from guard.events import Kind
from guard.roles import BadInput, Refused, Unavailable

A, B = "185.4.0.7", "185.4.0.8"


def test_what_waits_is_listed_the_worst_first(host, clock):
    """With what will be sent and when."""
    host.hear(A, Kind.RELAY_DENIED)
    host.ban(claim(A), claim(B, number=50))
    host.intake.keep(clock())
    rows = host.desk.rows(now=clock())
    assert [row["address"] for row in rows] == [B, A]
    assert rows[1] == {
        "address": A, "categories": [11], "time": NOON, "due": NOON, "attempts": 0, "error": "",
        "comment": "Mail server, TCP ports 25, 587: 5 refused requests within 10m "
        "(relaying denied)",
    }  # fmt: skip


def test_a_dry_run_of_sending_changes_nothing(hosts, server, clock):
    """What is protected, or not due, would not be sent."""
    host = hosts(after=60.0, protects=lambda network: "yours" if str(network) == B else None)
    host.ban(claim(A), claim(B))
    host.intake.keep(clock())
    assert host.desk.send(now=clock(), dry_run=True)["would send"] == []
    clock.now += 61
    answer = host.desk.send(now=clock(), dry_run=True)
    assert [row["address"] for row in answer["would send"]] == [A]
    assert (server.asked, host.counts()) == ([], {"waiting": 2})


def test_sending_by_hand_does_not_wait_for_a_pause(host, server, clock):
    """After the operator mended the key."""
    server.way = "401"
    host.ban(claim(A), claim(B))
    host.run()
    server.way = ""
    answer = host.desk.send(now=clock())
    assert (answer["told"], answer["waiting"], answer["error"]) == ({"sent": 2}, 0, "")
    assert host.desk.send(now=clock())["told"] == {}


@pytest.mark.parametrize("way", ["500", "html"])
def test_sending_by_hand_tries_again_what_failed(hosts, server, clock, way):
    """The cause is mended, and what it held up goes out: what nobody tried yet in its time."""
    host = hosts(after=60.0)
    host.ban(claim(A))
    host.intake.keep(clock())
    clock.now += 61
    server.way = way
    host.run()
    host.ban(claim(B))
    host.intake.keep(clock())
    assert (host.counts()["waiting"], host.counts()["failures"]) == (2, 1)
    server.way = ""
    answer = host.desk.send(now=clock())
    assert (answer["told"], answer["waiting"], answer["error"]) == (
        {"sent" if way == "500" else "duplicates": 1}, 1, "",
    )  # fmt: skip
    assert [report.address for report in server.saved] == [A]


def test_sending_by_hand_keeps_the_rules(hosts, server, clock):
    """The quota and the 15 minutes are AbuseIPDB's, not ours."""
    host = hosts(per_day=1, bulk_per_day=0)
    host.ban(claim(A), claim(B))
    answer = [host.intake.keep(clock()), host.desk.send(now=clock())][1]
    assert (answer["told"], answer["waiting"]) == ({"sent": 1}, 1)
    assert "quota is spent" in answer["error"]
    assert len(server.asked) == 1


def test_a_mistake_is_taken_back(host, server, clock):
    """There, and here; the address may be reported again at once if it comes again."""
    host.ban(claim(A))
    host.run()
    host.ban(claim(A, jail="auth", now=NOON + 1))
    host.run()
    answer = host.desk.clear(now=clock(), address=A)
    assert answer == {"address": A, "forgotten": True, "deleted": 1, "dry_run": False}
    counts = host.counts()
    assert (server.saved, counts["waiting"], counts["taken back"]) == ([], 0, 1)
    method, path, _, _ = server.asked[-1]
    assert (method, path) == ("DELETE", f"/api/v2/clear-address?ipAddress={A}")
    host.ban(claim(A))
    host.run()
    assert len(server.saved) == 1


def test_an_address_is_asked_for_as_we_write_it(host, server):
    """Canonical, whatever was typed; what is none is refused and nobody is asked."""
    assert host.desk.clear(now=NOON, address="2A03:1:0:0::1")["address"] == "2a03:1::1"
    for text in ("185.4.0.0/24", "example.com", "", "1.2.3.4&x=1"):
        with pytest.raises(BadInput):
            host.desk.clear(now=NOON, address=text)
    assert len(server.asked) == 1


def test_clearing_has_a_quota_of_its_own(hosts, server, clock):
    """Ours first, then theirs; both by day."""
    host = hosts(clear_per_day=2)
    server.limits["clear-address"] = 1
    host.desk.clear(now=clock(), address=A)
    with pytest.raises(Refused, match="Daily rate limit"):
        host.desk.clear(now=clock(), address=A)
    with pytest.raises(Unavailable, match="clear_per_day"):
        host.desk.clear(now=clock(), address=A)
    clock.now += DAY
    host.desk.clear(now=clock(), address=A)


def test_what_goes_wrong_is_told_without_the_key(host, server):
    """A refused key, a server in trouble, a missing file."""
    word = host.sender.api.key().reveal()
    for way, why in (("401", "answers 401"), ("500", "answers 500"), ("cut", "cut off")):
        server.way = way
        with pytest.raises((Refused, Unavailable), match=why) as caught:
            host.desk.clear(now=NOON, address=A)
        assert word not in str(caught.value)
    host.settings.key_file.unlink()
    with pytest.raises(Refused, match="No such file"):
        host.desk.clear(now=NOON, address=A)


def test_a_dry_run_clears_nothing(hosts, server):
    """Only what waits here."""
    host = hosts(dry_run=True)
    answer = host.desk.clear(now=NOON, address=A)
    assert (answer["dry_run"], answer["deleted"], server.asked) == (True, 0, [])
