"""What is told of bans: each once, and its end when nobody claims the network any more."""

import guard.chronicle
from guard.chronicle import Chronicle
from guard.events import Claim, Ended
from guard.lib.networks import Network, parse_network
from guard.stores.embedded_ledger import EmbeddedLedger

ONE, TWO = parse_network("192.0.2.1"), parse_network("2001:db8::/64")
NOW = 1_757_675_281.5


class Ear:
    """Somebody who is told."""

    def __init__(self):
        self.said = []

    def heard(self, events):
        """Nothing: rejections are not looked at here."""

    def banned(self, claims):
        self.said += [("ban", claim.network) for claim in claims]

    def unbanned(self, networks, now):
        self.said += [("unban", network) for network in networks]


def play(**more):
    ledger, ear = EmbeddedLedger(None, 86400.0), Ear()
    return ledger, ear, Chronicle(ledger, [ear], **more)


def claim(ledger, chronicle, network, since, length, source="jail:a"):
    made = [Claim(network, source, "x", since, None if length is None else since + length)]
    chronicle.banned(ledger.claim(made, since))


def unban(ledger, chronicle, network, now):
    chronicle.withdrawn(ledger.withdraw(network, None, now), now)


def test_an_unban_by_hand_is_told_once():
    """When the time comes at which the ban would have ended, nothing is said again."""
    ledger, ear, chronicle = play()
    claim(ledger, chronicle, ONE, NOW, 600)
    unban(ledger, chronicle, ONE, NOW + 5)
    assert ear.said == [("ban", ONE), ("unban", ONE)]
    for later in (5.5, 600, 6000):
        chronicle.tick(NOW + later)
    assert ear.said == [("ban", ONE), ("unban", ONE)]


def test_a_ban_after_an_unban_ends_for_itself():
    """At its own end, not at that of the first; and that which was known at the start, too."""
    ledger, ear, chronicle = play()
    ledger.claim([Claim(ONE, "jail:a", "x", NOW, NOW + 600)], NOW)
    chronicle.open(NOW)
    unban(ledger, chronicle, ONE, NOW + 5)
    claim(ledger, chronicle, ONE, NOW + 10, 900)
    chronicle.tick(NOW + 700)
    assert ear.said == [("unban", ONE), ("ban", ONE)]
    chronicle.tick(NOW + 910)
    assert ear.said == [("unban", ONE), ("ban", ONE), ("unban", ONE)]


def test_the_last_of_several_claims_is_the_end():
    """One source after another lets go; the network is free with the last, told once."""
    ledger, ear, chronicle = play()
    claim(ledger, chronicle, TWO, NOW, 60)
    claim(ledger, chronicle, TWO, NOW, 600, source="jail:b")
    claim(ledger, chronicle, ONE, NOW, None)
    chronicle.tick(NOW + 60)
    assert len(ear.said) == 3
    chronicle.tick(NOW + 600)
    assert ear.said[3:] == [("unban", TWO)]
    unban(ledger, chronicle, ONE, NOW + 601)
    chronicle.tick(NOW + 9999)
    assert ear.said[3:] == [("unban", TWO), ("unban", ONE)]


def test_all_that_end_together_are_told_once_each():
    """Piece by piece; who is claimed still is not, and no tick tells of them meanwhile or after."""
    ledger, ear, chronicle = play(shared=True)
    chronicle.open(NOW)
    claim(ledger, chronicle, ONE, NOW, 600)
    claim(ledger, chronicle, TWO, NOW, None)
    with chronicle.emptying():
        ended = ledger.withdraw(None, None, NOW + 5)
        chronicle.tick(NOW + 5)
        assert len(ear.said) == 2
        first, second = ([each] for each in ended)
        chronicle.ended(Ended([*first, *first], frozenset()), NOW + 5)
        chronicle.ended(Ended(second, frozenset({TWO})), NOW + 5)
    chronicle.tick(NOW + 6)
    chronicle.tick(NOW + 700)
    assert ear.said[2:] == [("unban", ONE), ("unban", TWO)]


def test_many_are_told_some_at_a_time(caplog, monkeypatch):
    """Another host lets in very many: nobody waits for all; the log has lines for each of few."""
    monkeypatch.setattr(guard.chronicle, "AT_ONCE", 30)
    monkeypatch.setattr(guard.chronicle, "MANY", 20)
    ledger, ear, here = play(shared=True)
    here.open(NOW)
    many = [Network(4, ONE.value + n, 32) for n in range(40)]
    here.banned(ledger.claim([Claim(n, "jail:a", "x", NOW, NOW + 600) for n in many], NOW))
    ledger.withdraw(None, None, NOW + 5)
    caplog.clear()
    here.tick(NOW + 6)
    assert len(ear.said) == 40 + 30
    assert [row.getMessage() for row in caplog.records] == [
        f"un-banned 30 networks at once, as {next(net for _, net in ear.said[40:])}"
    ]
    caplog.clear()
    here.tick(NOW + 7)
    here.tick(NOW + 8)
    assert sorted(net for _, net in ear.said[40:]) == many
    assert len(caplog.records) == 10


def test_what_another_host_lets_in_is_told_here():
    """Of bans that were told here, with an end or without; once, and at the next look."""
    ledger, ear, here = play(shared=True)
    there = Chronicle(ledger, [], shared=True)
    here.open(NOW)
    there.open(NOW)
    claim(ledger, here, ONE, NOW, 600)
    claim(ledger, here, TWO, NOW, None)
    claim(ledger, here, TWO, NOW, None, source="jail:b")
    here.tick(NOW + 1)
    told = len(ear.said)
    unban(ledger, there, ONE, NOW + 2)
    there.withdrawn(ledger.withdraw(TWO, "jail:a", NOW + 2), NOW + 2)
    here.tick(NOW + 3)
    assert ear.said[told:] == [("unban", ONE)]
    unban(ledger, there, TWO, NOW + 4)
    for later in (5, 700):
        here.tick(NOW + later)
        there.tick(NOW + later)
    assert ear.said[told:] == [("unban", ONE), ("unban", TWO)]
