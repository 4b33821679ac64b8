"""What holds a jail back: good standing, the operator's command, the brakes. With real stores."""

from dataclasses import replace

import pytest

from guard.events import Acceptance, Good, Kind, Overflow, Rejection, Window
from guard.jails.jail import Jail
from guard.lib.networks import parse_address, parse_network
from guard.pipeline import Pipeline
from guard.protect.own import Here
from guard.protect.protection import Protectors
from guard.protect.restraint import Restraint
from guard.protect.settings import ProtectSettings
from guard.stores.embedded import EmbeddedStore

NOW = 1_757_675_281.5
DAY = 86400.0
ADDRESS = "185.4.0.7"


@pytest.fixture
def store():
    made = EmbeddedStore(None)
    yield made
    made.close()


def pipeline(store, *jails, commands=None, noticed=lambda address: None, **settings):
    """A pipeline that is restrained, and its restraint."""
    held = Restraint(
        ProtectSettings(**settings), store.standing, store.counters, commands, noticed=noticed
    )
    made = Pipeline(jails, store.counters, store.ledger, Protectors(), restraint=held)
    return made, held


def jail(name="relay", *, weak=False, maxretry=3):
    kinds = frozenset([Kind.RELAY_DENIED])
    return Jail(name=name, filter=name, kinds=kinds, window=Window(maxretry, 600.0), weak=weak)


def refused(number, at=NOW, address=ADDRESS):
    return [Rejection(at, address, Kind.RELAY_DENIED) for _ in range(number)]


def banned(made, events, now=NOW):
    return [str(claim.network) for claim in made.hear(events, now)]


@pytest.mark.parametrize("how", ["auth", "mail", "delivery"])
def test_good_standing_outweighs_weak_evidence(store, how):
    """Whoever showed to be legitimate within the time is spared; a stranger is not."""
    made, held = pipeline(store, jail(weak=True))
    made.hear([Acceptance(NOW - DAY, ADDRESS, how)], NOW - DAY)
    assert banned(made, refused(30) + refused(3, address="185.4.0.8")) == ["185.4.0.8"]
    assert held.spared["good standing"] == 10
    assert made.tally.spared == 10


def test_good_standing_ends(store):
    """After `good_standing` without a sign, and at once where it is switched off."""
    made, _ = pipeline(store, jail(weak=True), good_standing=DAY)
    made.hear([Acceptance(NOW - DAY, ADDRESS, "mail")], NOW - DAY)
    assert banned(made, refused(3)) == [ADDRESS]
    off, _ = pipeline(store, jail(weak=True), good_standing=0.0)
    off.hear([Acceptance(NOW - 1, "185.4.0.9", "auth")], NOW)
    assert banned(off, refused(3, address="185.4.0.9")) == ["185.4.0.9"]


def test_strong_evidence_needs_more_of_the_well_known(store):
    """Three full windows, not one; and those within three times the jail's time."""
    made, _ = pipeline(store, jail())
    made.hear([Acceptance(NOW - DAY, ADDRESS, "mail")], NOW - DAY)
    assert banned(made, refused(8)) == []
    assert banned(made, refused(1)) == [ADDRESS]
    made.hear([Acceptance(NOW - DAY, "185.4.0.8", "mail")], NOW - DAY)
    for later in (0.0, 1000.0, 2000.0, 3000.0):
        at = NOW + later
        assert banned(made, refused(3, at, "185.4.0.8"), at) == []


def test_an_ipv6_neighbour_shares_standing_as_it_shares_bans(store):
    """Both go by the /64."""
    made, _ = pipeline(store, jail(weak=True))
    made.hear([Acceptance(NOW - 5, "2a03:1:2:3::1", "auth")], NOW)
    assert banned(made, refused(5, address="2a03:1:2:3::2")) == []


def test_a_sign_of_the_future_counts_from_now(store):
    """A clock that runs ahead cannot buy standing for years."""
    made, held = pipeline(store, jail(weak=True), good_standing=DAY)
    made.hear([Acceptance(NOW + 1000 * DAY, ADDRESS, "auth")], NOW)
    network = parse_address(ADDRESS)
    assert held.goods([network], NOW) == {network: Good(network, NOW, "auth")}
    assert held.goods([network], NOW + DAY) == {}


def test_the_operators_command_is_asked_once_per_ban(store, tmp_path):
    """Its jail only; exit status 0 spares."""
    command = f"/bin/sh -c 'echo $0 >> {tmp_path}/log; test $0 = {ADDRESS}' <ip>"
    made, held = pipeline(store, jail(), commands={"relay": command})
    assert banned(made, refused(3) + refused(3, address="185.4.0.8")) == ["185.4.0.8"]
    assert (tmp_path / "log").read_text().split() == [ADDRESS, "185.4.0.8"]
    assert held.spared == {"ignorecommand": 1}


def test_brakes_stop_a_jail_that_bans_the_well_known(store, caplog):
    """At the third such address the jail is stopped, for strangers too, and the log says so."""
    made, held = pipeline(store, jail(maxretry=1), jail("other", maxretry=1))
    friends = [f"185.4.1.{i}" for i in range(4)]
    made.hear([Acceptance(NOW - 5, friend, "auth") for friend in friends], NOW)
    made, held = pipeline(store, jail(maxretry=1))
    assert banned(made, [e for f in friends for e in refused(3, address=f)]) == friends[:2]
    assert banned(made, refused(1, address="185.9.9.9")) == []
    assert "jail relay is stopped" in caplog.text
    assert list(held.brakes.stopped(NOW)) == ["relay"]
    assert banned(made, refused(1, NOW + 700, "185.9.9.9"), NOW + 700) == ["185.9.9.9"]


def test_a_halt_is_obeyed(store):
    """With `halt`, no more than the allowed number of bans within a minute."""
    made, _ = pipeline(store, jail(maxretry=1), bans_per_minute=5, halt=True)
    events = [e for i in range(20) for e in refused(1, address=f"185.7.0.{i}")]
    assert len(banned(made, events)) == 5


def test_each_address_is_noticed_once(store):
    """So that its reverse name can be asked for before it has done enough."""
    noticed = []
    made, _ = pipeline(store, jail(), noticed=noticed.append)
    made.hear(refused(2) + refused(1, address="2a03::1"), NOW)
    assert noticed == [parse_address(ADDRESS), parse_address("2a03::1")]


def test_nothing_to_remember_is_no_question_to_the_store():
    """Refusals alone cost the standing nothing."""

    class Silent:
        def note(self, goods):
            raise AssertionError("asked")

        known = note

    held = Restraint(ProtectSettings(), Silent(), Silent())
    held.heard([])
    off = Restraint(ProtectSettings(good_standing=0.0), Silent(), Silent())
    off.heard([Good(parse_network("185.0.0.1"), 1.0, "mail")])
    assert off.goods([parse_network("185.0.0.1")], 2.0) == {}
    overflow = Overflow("relay", parse_network("185.0.0.1"), NOW, 3)
    assert off.spares(overflow, None, window=Window(3, 600.0), weak=False) is None


def test_whoever_is_taken_for_good_while_the_store_is_gone_stops_no_jail(store):
    """Everybody is, then: weak jails spare, others need more, and no brake is put on."""

    class Gone:
        def note(self, goods):
            """Lost."""

        def known(self, networks):
            return [Good(network, 1e12, "not known while Redis is gone") for network in networks]

    store.standing.close()
    store.standing = Gone()
    store.standing.close = lambda: None
    made, held = pipeline(store, jail(maxretry=1), jail("weak", weak=True, maxretry=1))
    for i in range(10):
        assert banned(made, refused(3, address=f"185.7.0.{i}")) == [f"185.7.0.{i}"]
    assert held.brakes.stopped(NOW) == {}
    assert {claim.source for claim in store.ledger.claims(NOW)} == {"jail:relay"}


def test_a_jail_that_ignores_this_machine_does_so_where_nothing_else_protects_it(store):
    """`ignoreself`, with `own = false`; a jail that does not ignore it bans it."""
    machine = Here([ADDRESS], gateways=["185.4.0.1"])
    for ignoreself, spared in ((True, True), (False, False)):
        held = Restraint(
            ProtectSettings(own=False), store.standing, store.counters, here=lambda: machine
        )
        one = replace(jail(f"self-{ignoreself}"), ignoreself=ignoreself)
        made = Pipeline([one], store.counters, store.ledger, Protectors(), restraint=held)
        assert banned(made, refused(3)) == ([] if spared else [ADDRESS])
        assert held.spared["ignoreself"] == spared
        assert banned(made, refused(3, address="185.4.0.1")) == ["185.4.0.1"]


def test_this_machine_s_addresses_are_not_asked_for_with_every_ban(store):
    """A thousand offenders at once cost one look; a second later there is another."""
    looks = []

    def here():
        looks.append(1)
        return Here([ADDRESS])

    held = Restraint(ProtectSettings(own=False), store.standing, store.counters, here=here)
    one = replace(jail("self"), ignoreself=True)
    made = Pipeline([one], store.counters, store.ledger, Protectors(), restraint=held)
    for n in range(20):
        assert banned(made, refused(3, address=f"185.7.1.{n}")) == [f"185.7.1.{n}"]
    assert len(looks) == 1
    made.hear(refused(3, NOW + 5, "185.7.2.1"), NOW + 5)
    assert len(looks) == 2


def test_a_reverse_name_is_asked_for_again_when_a_ban_comes(store):
    """Once for each batch that has it, and once more: the DNS may not have answered until then."""
    heard = []
    made, _ = pipeline(store, jail(), noticed=heard.append)
    made.hear(refused(2), NOW)
    assert heard == [parse_address(ADDRESS)]
    heard.clear()
    assert banned(made, refused(1)) == [ADDRESS]
    assert heard == [parse_address(ADDRESS)] * 2


def test_nobody_is_noticed_while_nobody_heeds(store):
    """Asked once for each batch and each ban, so that a thousand addresses cost nothing."""
    heeded, noticed, asked = [False], [], []

    def heeds():
        asked.append(1)
        return heeded[0]

    held = Restraint(
        ProtectSettings(), store.standing, store.counters, noticed=noticed.append, heeds=heeds
    )
    made = Pipeline([jail()], store.counters, store.ledger, Protectors(), restraint=held)
    made.hear([e for n in range(50) for e in refused(1, address=f"185.9.0.{n}")], NOW)
    assert (noticed, len(asked)) == ([], 1)
    heeded[0] = True
    made.hear(refused(1, address="185.9.1.1"), NOW)
    assert noticed == [parse_address("185.9.1.1")]
