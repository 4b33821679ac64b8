"""What is taken to be told, and what never is."""

import pytest
from abuseipdb_host import NOON, RELAY, claim

from guard.events import Claim, Kind, Overflow, Suspicion
from guard.jails.reasons import reason
from guard.lib.networks import parse_network
from guard.reporters.abuseipdb.facts import unpacked
from guard.roles import Unavailable

A = "185.4.0.7"


def waiting(host):
    """What the outbox has, as (address, categories)."""
    host.intake.keep(host.clock())
    found = [unpacked(one.payload) for one in host.outbox.waiting("abuseipdb")]
    return [(facts.address, facts.categories) for facts in found]


@pytest.mark.parametrize(
    "told",
    [
        claim(A, jail="manual", reason="by hand"),
        claim(A, jail="manual", reason="5 rejections within 10m"),
        claim(A, jail="feed:spamhaus-drop", reason="listed"),
        claim(A, jail="feed:abuseipdb", reason="5 rejections within 10m"),
        claim(A, reason="3 bans within 1d"),
        claim("185.4.0.0/24", jail="jail:crowd", reason="8 addresses banned within 1d"),
        claim(A, jail="jail:gone"),
        claim(A, reason="5 rejections within 10m, fewer are enough: on list x"),
    ],
)
def test_what_no_jail_saw_here_is_never_told(host, told):
    """Hands, lists, bans for bans, blocks, jails of other hosts, bars that were lowered."""
    host.ban(told)
    assert waiting(host) == []
    assert host.counts() == {"waiting": 0}


def test_a_ban_for_a_score_is_never_told(host):
    """By the very words that the pipeline writes; the same ban without a score is."""
    lowered = Overflow(RELAY.name, parse_network(A), NOON, 2)
    why = reason(lowered, RELAY.window, Suspicion(2, "score 100 at abuseipdb"), what="rejection")
    host.ban(claim(A, reason=why))
    assert waiting(host) == []
    full = Overflow(RELAY.name, parse_network(A), NOON, 5)
    host.ban(claim(A, reason=reason(full, RELAY.window, None, what="rejection")))
    assert waiting(host) == [(A, [11])]


def test_what_was_seen_says_the_categories(host):
    """Of the kinds that the jail counts; the others say nothing of its ban."""
    host.hear(A, Kind.AUTH_FAILED, Kind.AUTH_FAILED, Kind.NON_SMTP)
    host.ban(claim(A, jail="auth", number=10))
    assert waiting(host) == [(A, [18])]
    [one] = host.outbox.waiting("abuseipdb")
    [part] = unpacked(one.payload).parts
    assert (part.rejections, part.within, part.kinds) == (10, "10m", {"auth_failed": 2})


def test_after_a_restart_the_jail_says_them(host):
    """What was seen is only in memory: then all that the jail counts may have been."""
    host.ban(claim(A, jail="auth"))
    assert waiting(host) == [(A, [15, 18])]


def test_text_logs_go_by_their_filter_or_not_at_all(host):
    """A filter that nobody knows has no category, and that is counted."""
    host.ban(claim(A, jail="sshd"), claim("185.4.0.8", jail="own"))
    assert waiting(host) == [(A, [18, 22])]
    assert host.counts() == {"waiting": 1, "not told for want of a category": 1}


def test_categories_are_the_operators(hosts):
    """By kind or by jail; none is not told."""
    host = hosts(categories={"relay_denied": (), "own": (21,), "auth_failed": (5, 18)})
    host.hear("185.4.0.9", Kind.AUTH_FAILED)
    host.ban(claim(A), claim("185.4.0.8", jail="own"), claim("185.4.0.9", jail="auth"))
    assert waiting(host) == [("185.4.0.8", [21]), ("185.4.0.9", [5, 18])]


def test_two_bans_at_once_are_one_report(host):
    """All that both jails saw; the later time."""
    host.hear(A, *[Kind.RELAY_DENIED] * 5, Kind.AUTH_FAILED)
    host.ban(claim(A), claim(A, jail="auth", now=NOON + 2, number=9, length=None))
    assert waiting(host) == [(A, [11, 18])]
    facts = unpacked(host.outbox.waiting("abuseipdb")[0].payload)
    assert (facts.time, facts.until) == (NOON + 2, None)
    assert [(part.rejections, part.kinds) for part in facts.parts] == [
        (5, {"relay_denied": 5}),
        (9, {"auth_failed": 1}),
    ]


def test_a_network_needs_an_address(host):
    """Whom of a /64 or a wider block nobody knows is not told."""
    host.ban(claim("2a03:1:2:3::/64"), claim("185.4.0.0/24"))
    assert waiting(host) == []
    assert host.counts()["not told for want of an address"] == 2


def test_the_worst_are_first(host):
    """Strikes count more than rejections."""
    host.ban(
        claim("185.4.0.1", number=5),
        claim("185.4.0.2", number=90),
        claim("185.4.0.3", number=5, strikes=3),
    )
    assert [address for address, _ in waiting(host)] == ["185.4.0.3", "185.4.0.2", "185.4.0.1"]


def test_what_is_taken_back_in_time_is_never_told(hosts, server, clock):
    """By hand, also by a wider block; an end in its time is none."""
    host = hosts(after=300.0)
    host.ban(*[claim(f"185.4.0.{n}", length=60.0 if n == 4 else 3600.0) for n in range(1, 6)])
    host.run()
    clock.now += 100
    host.intake.unbanned([parse_network("185.4.0.1"), parse_network("185.4.0.4")], clock())
    host.intake.unbanned([parse_network("185.4.0.2/31"), parse_network("9.9.9.0/24")], clock())
    host.run()
    assert host.counts() == {"waiting": 2, "taken back": 3}
    assert server.asked == []
    clock.now += 201
    host.run()
    assert [report.address for report in server.saved] == ["185.4.0.4", "185.4.0.5"]


def test_a_disk_that_takes_nothing_loses_nothing(host, caplog):
    """It waits in memory, which is said once; then all is there."""
    put = host.outbox.put

    def full(*_, **__):
        raise Unavailable("outbox.db: disk is full")

    host.outbox.put = full
    host.ban(claim(A))
    for _ in range(3):
        assert 0 < host.intake.keep(NOON) < 60
    host.outbox.put = put
    assert waiting(host) == [(A, [11])]
    assert caplog.text.count("disk is full") == 1


def test_banning_waits_for_nothing(host, monkeypatch):
    """Not even for the disk: only `keep` writes."""
    host.outbox.close()
    host.ban(claim(A))
    host.intake.unbanned([parse_network(A)], NOON)
    host.intake.heard([])


def test_a_claim_of_any_words_is_harmless(host):
    """The reason of an imported claim may be anything."""
    for words in (
        "",
        "5 rejections within 10m\n",
        "x" * 10_000,
        "9" * 5000 + " rejections within 1d",
    ):
        host.ban(Claim(parse_network(A), "jail:relay", words, NOON, None, 1))
    waiting(host)
