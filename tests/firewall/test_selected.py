"""Two firewalls after one ledger: each has its sources, and together they have all."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netns import World, inside

from guard.events import Claim
from guard.firewall.blackhole import Blackhole
from guard.firewall.dryrun import DryRun
from guard.firewall.mirror import Mirror
from guard.firewall.nftables import NFTables
from guard.firewall.selected import Mirrors, Selected
from guard.lib.networks import parse_network
from guard.roles import Unavailable
from guard.stores.embedded_ledger import EmbeddedLedger

NOW = 1000.0
NETWORKS = [parse_network(f"185.4.0.{i}") for i in range(4)]
DROP, JAIL = "feed:drop", "jail:x"


class Nobody:
    """A protection of nobody."""

    version = 0

    def protects(self, network):
        return None


def pair(ledger, mail, routes):
    shield = Nobody()
    return Mirrors(
        [
            Mirror(Selected(ledger, lambda source: source != DROP), mail, shield),
            Mirror(Selected(ledger, lambda source: source == DROP), routes, shield),
        ]
    )


_steps = st.lists(
    st.tuples(
        st.sampled_from(["claim", "withdraw"]),
        st.sampled_from(NETWORKS),
        st.sampled_from([DROP, JAIL, "manual"]),
    ),
    max_size=15,
)


@given(_steps)
@settings(max_examples=100, deadline=None)
def test_each_firewall_has_exactly_its_claims(steps):
    """After every change, whoever claims what."""
    ledger, mail, routes = EmbeddedLedger(None, 3600.0), DryRun(), DryRun()
    mirrors = pair(ledger, mail, routes)
    mirrors.start(NOW)
    for verb, network, source in steps:
        if verb == "claim":
            ledger.claim([Claim(network, source, "", NOW, None)], NOW)
        else:
            ledger.withdraw(network, source, NOW)
        mirrors.step(NOW)
        claims = ledger.claims(NOW)
        assert set(mail.blocked(NOW)) == {c.network for c in claims if c.source != DROP}
        assert set(routes.blocked(NOW)) == {c.network for c in claims if c.source == DROP}
    mirrors.reconcile(NOW)
    assert mirrors.report is not None
    assert mirrors.report.clean
    assert mirrors.alarm == ""


def test_a_firewall_that_fails_does_not_hold_up_the_other():
    """The second is laid, and the first one's error is told."""

    class Broken(DryRun):
        def replace(self, blocks, now):
            raise Unavailable("netlink is gone")

    ledger, routes = EmbeddedLedger(None, 3600.0), DryRun()
    ledger.claim([Claim(NETWORKS[0], DROP, "", NOW, None)], NOW)
    mirrors = pair(ledger, Broken(), routes)
    with pytest.raises(Unavailable, match="netlink is gone"):
        mirrors.start(NOW)
    assert list(routes.blocked(NOW)) == [NETWORKS[0]]
    assert mirrors.report is None


@pytest.mark.root
def test_every_port_for_one_and_those_of_mail_for_the_other(world: World):
    """The listed lose every port, the banned that of mail alone, the innocent nothing."""
    with inside(world.server):
        ledger, mail, routes = EmbeddedLedger(None, 3600.0), NFTables((25,)), Blackhole()
        mirrors = pair(ledger, mail, routes)
        mirrors.start(time.time())
        offender = parse_network(world.offender.v4)
        for source, ports in ((JAIL, (False, True)), (DROP, (False, False))):
            ledger.claim([Claim(offender, source, "", NOW, None)], NOW)
            mirrors.step(time.time())
            found = tuple(world.offender.connects(world.v4, port) for port in (25, 80))
            assert found == ports
            assert world.innocent.connects(world.v4, 80)
            ledger.withdraw(offender, source, NOW)
            mirrors.step(time.time())
            assert world.offender.connects(world.v4, 25)
            assert world.offender.connects(world.v4, 80)
        mail.close()
        routes.close(clear=True)
