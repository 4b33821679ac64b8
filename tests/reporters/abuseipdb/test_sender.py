"""What waits is told by AbuseIPDB's rules, against a server that answers as it does."""

import logging
from urllib.parse import parse_qs

import pytest
from abuseipdb_host import NOON, claim
from abuseipdb_server import DAY, endpoints, moment

from guard.events import Kind
from guard.lib.networks import parse_network

A, B = "185.4.0.7", "2a03:1:2:3::9"
MIDNIGHT = NOON + DAY / 2


def address(number):
    """One of many addresses."""
    return f"185.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def test_a_ban_is_reported_as_asked(host, server, clock):
    """Address, categories, time and comment, the key in its header, JSON asked for."""
    host.hear(A, *[Kind.RELAY_DENIED] * 5)
    host.ban(claim(A, now=NOON - 3))
    assert host.run() > 0
    method, path, headers, body = server.asked[0]
    assert (method, path) == ("POST", "/api/v2/report")
    assert headers["Key"] == host.sender.api.key().reveal()
    assert headers["Accept"] == "application/json"
    form = parse_qs(body.decode(), strict_parsing=True)
    assert form["ip"] == [A]
    assert form["categories"] == ["11"]
    assert moment(form["timestamp"][0]) == NOON - 3
    assert form["comment"] == [
        "Mail server, TCP ports 25, 587: 5 refused requests within 10m (relaying denied)"
    ]
    assert host.counts() == {"waiting": 0, "sent": 1}
    assert host.desk.tell() == {
        "name": "abuseipdb", "waiting": 0, "sent": 1, "quota left": 999, "error": "",
    }  # fmt: skip


def test_of_a_network_the_address_that_did_it_is_reported(host, server):
    """Nobody else of its /64."""
    host.hear(B, Kind.RELAY_DENIED)
    host.ban(claim("2a03:1:2:3::/64"))
    host.run()
    assert [report.address for report in server.saved] == [B]


def test_an_address_is_told_once_in_15_minutes(host, server, clock):
    """A ban sooner waits, and is told then; the server never has to say so."""
    host.ban(claim(A))
    host.run()
    clock.now += 600
    host.ban(claim(A, jail="auth", now=clock.now))
    host.run()
    assert len(server.saved) == 1
    assert host.counts()["waiting"] == 1
    clock.now += 906
    host.run()
    assert [report.categories for report in server.saved] == ["11", "15,18"]
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [429, 403, 422])
def test_a_duplicate_is_known_by_its_text(host, server, clock, status):
    """Whatever status it has: another program reported with the same key. It is not a quota."""
    server.duplicate = status
    server.keep(A, "11", "2025-09-12T12:00:00+00:00", "another program", "report")
    host.ban(claim(A), claim("185.4.0.8"))
    host.run()
    assert host.counts() == {"waiting": 0, "sent": 1, "duplicates": 1}
    assert host.desk.tell()["error"] == ""


def test_the_day_has_its_quota_and_the_worst_go_first(hosts, server, clock):
    """What is left waits for the next day of UTC, in order, and nothing is asked beyond."""
    host = hosts(per_day=10, bulk_per_day=0)
    server.limits["report"] = 10
    host.ban(*[claim(address(n), number=5 + n) for n in range(1, 26)])
    host.run()
    worst = [address(n) for n in range(25, 15, -1)]
    assert [report.address for report in server.saved] == worst
    assert "the day's quota is spent; more in 12h" in host.desk.tell()["error"]
    assert host.desk.tell()["quota left"] == 0
    while clock.now < MIDNIGHT - 60:
        clock.now += 59
        host.run()
    assert len(server.asked) == 10
    host.ban(claim(address(99), number=99, now=clock.now))
    clock.now = MIDNIGHT + 61
    host.run()
    assert [r.address for r in server.saved[10:12]] == [address(99), address(15)]
    assert len(server.saved) == 20
    clock.now = MIDNIGHT + DAY + 61
    host.run()
    assert len(server.saved) == 26
    assert server.overruns == {}
    assert host.desk.tell()["error"] == ""


def test_a_smaller_plan_is_believed_at_once(hosts, server, clock):
    """The headers say what is left; the configured number is not insisted on."""
    host = hosts(per_day=1000, bulk_per_day=0)
    server.limits["report"] = 3
    host.ban(*[claim(address(n)) for n in range(1, 8)])
    host.run()
    assert len(server.saved) == 3
    assert server.overruns == {}
    assert host.counts()["waiting"] == 4


def test_a_spent_day_is_waited_for_as_the_server_says(hosts, server, clock):
    """Another program spent it: known by the text, no attempt is counted, nothing is lost."""
    host = hosts(bulk_per_day=0)
    server.used["report", int(clock() // DAY)] = 1000
    host.ban(claim(A))
    host.run()
    [one] = host.outbox.waiting("abuseipdb")
    assert (one.attempts, server.overruns["report"]) == (0, 1)
    clock.now += 6 * 3600
    host.run()
    assert server.overruns["report"] == 1
    clock.now = MIDNIGHT + 61
    host.run()
    assert [report.address for report in server.saved] == [A]


def test_a_rate_is_waited_for_and_is_no_quota(host, server, clock):
    """429 with a short Retry-After."""
    server.way = "slow"
    host.ban(claim(A))
    host.run()
    assert "Too many requests" in host.desk.tell()["error"]
    server.way = ""
    clock.now += 89
    host.run()
    assert len(server.asked) == 1
    clock.now += 2
    host.run()
    assert len(server.saved) == 1
    assert host.desk.tell()["quota left"] == 998


@pytest.mark.parametrize("way", ["401", "402", "403"])
def test_a_refused_key_stops_and_is_told_without_it(host, server, clock, caplog, way):
    """Nothing is lost; the day's quota is not burnt on it; half an hour later it is tried again."""
    server.way = way
    host.ban(claim(A), claim(address(9)))
    with caplog.at_level(logging.INFO):
        host.run()
    assert f"answers {way}" in host.desk.tell()["error"]
    for _ in range(20):
        clock.now += 60
        host.run()
    assert len(server.asked) == 1
    assert caplog.text.count("reports to AbuseIPDB wait") == 1
    secret = host.sender.api.key().reveal()
    told = [str(host.desk.tell()), caplog.text, str(host.desk.rows(now=clock())), repr(host.sender)]
    assert not any(secret in text for text in told)
    server.way = ""
    clock.now += 1800
    host.run()
    assert len(server.saved) == 2


def test_a_missing_key_costs_no_quota(host, server, clock):
    """It is read anew, so that writing the file is all there is to do."""
    path = host.settings.key_file
    word = path.read_text()
    path.unlink()
    host.ban(claim(A))
    host.run()
    assert "No such file" in host.desk.tell()["error"]
    assert host.desk.tell()["quota left"] == 1000
    path.write_text(word)
    clock.now += 1801
    host.run()
    assert len(server.saved) == 1


def test_what_is_not_valid_is_dropped_and_said(hosts, server, clock, caplog):
    """One refused report holds back no other."""
    host = hosts(categories={"auth": [11]})
    bad = claim(A, now=NOON + 3600)  # the server's clock has not come there
    host.ban(bad, claim(address(9)))
    with caplog.at_level(logging.WARNING):
        host.run()
    assert host.counts() == {"waiting": 0, "sent": 1, "refused": 1}
    assert f"the report of {A} was refused" in caplog.text


@pytest.mark.parametrize("way", ["500", "html"])
def test_a_server_in_trouble_is_asked_less_and_less(host, server, clock, way):
    """Nothing is lost; pauses double up to an hour; then all goes out."""
    server.way = "500"
    if way == "html":
        server.error = lambda error: None
        server.send = lambda h, s, d, x, send=server.send: (
            setattr(server, "way", "html") or send(h, s, d, x)
        )
    host.ban(*[claim(address(n)) for n in range(1, 4)])
    begun = clock.now
    while clock.now < begun + 6 * 3600:
        if way == "html":
            server.way = "500"
        host.run()
        clock.now += 30
    assert 8 <= len(server.asked) <= 20
    assert host.counts() == {"waiting": 3, "failures": len(server.asked)}
    assert "answers 500" in host.desk.tell()["error"]
    server.way = ""
    if way == "html":
        del server.send
    clock.now += 7200
    host.run()
    clock.now += 7200
    host.run()
    assert sorted(report.address for report in server.saved) == [address(n) for n in range(1, 4)]


def test_an_answer_that_is_cut_is_asked_again_and_not_told_twice(host, server, clock):
    """The report may have arrived: the server says so, and it is done."""
    server.way = "cut"
    host.ban(claim(A))
    host.run()
    assert host.counts()["waiting"] == 1
    server.way = ""
    clock.now += 31
    host.run()
    assert host.counts() == {"waiting": 0, "failures": 1, "duplicates": 1}
    assert len(server.saved) == 1


class Killed(BaseException):
    """What ends a process in the middle."""


@pytest.mark.parametrize("arrived", [True, False])
def test_what_was_under_way_at_a_kill_is_told_once(hosts, server, clock, arrived):
    """At once after the start, so that AbuseIPDB still knows whether it had arrived."""
    host = hosts()
    send = host.sender.api.report

    def cut(key, line):
        if arrived:
            send(key, line)
        raise Killed

    host.sender.api.report = cut
    host.ban(claim(A))
    with pytest.raises(Killed):
        host.run()
    host.close()
    clock.now += 5
    host = hosts()
    host.run()
    assert [report.address for report in server.saved] == [A]
    assert host.counts() == {"waiting": 0, "duplicates" if arrived else "sent": 1}


def test_a_file_that_was_under_way_at_a_kill_is_told_once(hosts, server, clock):
    """The same for many."""
    host = hosts(per_day=1, bulk_from=2)
    server.limits["report"] = 1
    send = host.sender.api.bulk_report

    def cut(key, data):
        send(key, data)
        raise Killed

    host.sender.api.bulk_report = cut
    host.ban(*[claim(address(n)) for n in range(1, 12)])
    with pytest.raises(Killed):
        host.run()
    host.close()
    clock.now += 5
    host = hosts(per_day=2, bulk_from=2)
    server.limits["report"] = 2
    for _ in range(6):
        host.run()
        clock.now += 901
    assert len(server.saved) == 11
    assert len({report.address for report in server.saved}) == 11


def test_a_file_goes_when_single_reports_are_spent(hosts, server, clock):
    """Once an hour at most, and not for a few; lines are answered one by one."""
    host = hosts(per_day=5, bulk_per_day=2, bulk_from=20)
    server.limits |= {"report": 5, "bulk-report": 2}
    host.ban(*[claim(address(n), number=5 + n) for n in range(1, 6 + 19)])
    host.run()
    assert endpoints(server) == {"report": 5}
    server.keep(address(4), "11", "2025-09-12T12:00:00+00:00", "another program", "report")
    host.ban(claim(address(500), number=1), claim(address(501), now=NOON + 7200))
    clock.now += 901
    host.run()
    assert endpoints(server) == {"report": 5, "bulk-report": 1}
    counts = host.counts()
    assert (counts["waiting"], counts["sent"], counts["refused"]) == (0, 5 + 20, 1)
    assert "duplicates" not in counts
    assert sum(report.how == "bulk" for report in server.saved) == 20
    host.ban(*[claim(address(n), now=clock()) for n in range(2000, 2050)])
    host.run()
    assert endpoints(server)["bulk-report"] == 1
    for _ in range(5):
        clock.now += 901
        host.run()
    assert endpoints(server)["bulk-report"] == 2
    assert host.counts()["waiting"] == 0
    assert server.overruns == {}


def test_lines_that_were_reported_are_duplicates(hosts, server, clock):
    """By another program, within 15 minutes: not told again."""
    host = hosts(per_day=1, bulk_from=2)
    server.limits["report"] = 1
    host.ban(*[claim(address(n), number=50 - n) for n in range(1, 7)])
    server.keep(address(4), "11", "2025-09-12T12:00:00+00:00", "another program", "report")
    host.run()
    assert host.counts() == {"waiting": 0, "sent": 5, "duplicates": 1, "files": 1}


def test_a_file_that_is_too_long_is_halved(hosts, server, clock, caplog):
    """When their limit of lines is another than the documented one."""
    host = hosts(per_day=1, bulk_from=2, bulk_per_day=9)
    server.limits |= {"report": 1, "bulk-report": 9}
    server.most_lines = 150
    host.ban(*[claim(address(n)) for n in range(1, 402)])
    for _ in range(4 * 8):
        host.run()
        clock.now += 901
    assert host.counts()["waiting"] == 0
    assert sorted({report.address for report in server.saved}) == sorted(
        address(n) for n in range(1, 402)
    )
    assert len(server.saved) == 401
    assert "too long" in caplog.text


def test_a_file_keeps_within_ten_thousand_lines(hosts, server, clock):
    """The rest goes in the next."""
    host = hosts(per_day=1, bulk_per_day=5)
    server.limits["report"] = 1
    host.ban(*[claim(address(n)) for n in range(12_002)])
    for _ in range(6):
        host.run()
        clock.now += 901
    assert len(server.saved) == 12_002
    assert endpoints(server) == {"report": 1, "bulk-report": 2}


def test_nothing_younger_than_60_days_is_dropped(hosts, server, clock, caplog):
    """A key that is never right: older ones go, counted and said."""
    host = hosts(bulk_per_day=0)
    server.way = "401"
    for day in range(70):
        clock.now = NOON + day * DAY
        host.ban(claim(address(day), now=clock.now))
        host.run()
    counts = host.counts()
    assert counts["dropped as too old"] == 10
    assert counts["waiting"] == 60
    assert "older than AbuseIPDB takes" in caplog.text
    server.way = ""
    clock.now += 1801
    host.run()
    assert len(server.saved) == 60


def test_who_is_protected_by_now_is_not_told(hosts, server):
    """Nor is any address of special use, whatever the jails may do with it."""
    mild = parse_network("185.4.0.0/24")
    host = hosts(protects=lambda network: "yours" if mild.overlaps(network) else None)
    host.ban(claim(A), claim("127.0.0.2"), claim("192.168.1.1"), claim(address(9)))
    host.run()
    assert [report.address for report in server.saved] == [address(9)]
    assert host.counts() == {
        "waiting": 0, "sent": 1, "dropped as protected": 1, "dropped as special-purpose": 2,
    }  # fmt: skip


def test_what_another_host_let_go_is_not_told(hosts, server, clock):
    """Asked twice, as a ban may not have reached the store yet; an end in its time is no pardon."""
    gone = {A, B}
    host = hosts(held=lambda network, now: str(network) not in gone)
    host.ban(claim(A), claim(B, length=None), claim(address(9)))
    host.run()
    assert [report.address for report in server.saved] == [address(9)]
    assert host.counts()["waiting"] == 2
    gone.remove(B)
    clock.now += 61
    host.run()
    assert [report.address for report in server.saved] == [address(9), B]
    assert host.counts() == {"waiting": 0, "sent": 2, "taken back": 1}
    host.ban(claim(A, now=NOON - 7200, length=3600.0))
    host.run()
    assert server.saved[-1].address == A


def test_a_file_leaves_out_who_is_not_told(hosts, server, clock):
    """Protected by now, or let go by another host."""
    gone = {address(2)}
    host = hosts(
        per_day=1, bulk_from=2, held=lambda network, now: str(network) not in gone,
        protects=lambda network: "yours" if str(network) == address(3) else None,
    )  # fmt: skip
    server.limits["report"] = 1
    host.ban(*[claim(address(n), number=50 - n) for n in range(1, 7)])
    host.run()
    assert sorted(report.address for report in server.saved) == [address(n) for n in (1, 4, 5, 6)]
    assert host.counts()["dropped as protected"] == 1
    assert [row["error"] for row in host.desk.rows(now=clock())] == ["nobody bans it any more"]


def test_a_dry_run_says_and_does_not(hosts, server, caplog):
    """What would have been reported stands in the log."""
    host = hosts(dry_run=True)
    host.ban(claim(A))
    with caplog.at_level(logging.INFO):
        host.run()
    assert f"dry run: would report {A} as 11: Mail server" in caplog.text
    assert server.asked == []
    assert host.counts() == {"waiting": 0, "dry run": 1}
    assert host.desk.tell()["mode"] == "dry run"


def test_a_store_that_is_gone_is_waited_for(hosts, server, clock, redis_server):
    """Who does not know what others told tells nothing; it goes on by itself."""
    host = hosts(store=redis_server.url)
    redis_server.stop()
    host.ban(claim(A))
    host.run()
    assert "does not answer" in host.desk.tell()["error"]
    assert server.asked == []
    redis_server.start()
    clock.now += 16
    host.run()
    assert len(server.saved) == 1


def test_a_clock_that_is_set_back_holds_nobody(host, server, clock):
    """A pause of years is none."""
    server.way = "500"
    clock.now = NOON + 400 * DAY
    host.ban(claim(A, now=NOON))
    host.run()
    host.outbox.later([1], 0.0, failed=False)
    clock.now, server.way = NOON, ""
    host.ban(claim(address(9)))
    host.run()
    assert address(9) in [report.address for report in server.saved]
