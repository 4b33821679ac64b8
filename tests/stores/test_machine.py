"""Whatever happens in whatever order, on one host or two: store, pipeline and model agree."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from model import Model

from guard.events import Claim, Kind, Rejection, Window
from guard.jails.escalation import length_of
from guard.jails.jail import Escalation, Jail
from guard.lib.networks import parse_network
from guard.pipeline import Pipeline
from guard.stores import redis_ledger, tables
from guard.stores.embedded import EmbeddedStore
from guard.stores.redis_ledger import MANY
from guard.stores.redis_store import RedisStore

START = 1_757_675_281.5
INCREMENT = Escalation(length=length_of())
JAILS = [
    Jail(
        name=name,
        filter=name,
        kinds=frozenset([Kind.RELAY_DENIED]),
        window=Window(maxretry, 600.0),
        bantime=bantime,
        escalation=INCREMENT,
    )
    for name, maxretry, bantime in (("quick", 2, 300.0), ("slow", 4, 900.0))
]
WINDOWS = {jail.name: jail.window for jail in JAILS}
NETWORKS = [parse_network(t) for t in ("192.0.2.1", "192.0.2.2", "2001:db8:0:1::/64")]
WIDE = [*NETWORKS, parse_network("192.0.2.0/24")]
networks, hosts = st.sampled_from(NETWORKS), st.sampled_from([0, 1])


class Machine(RuleBasedStateMachine):
    """Two hosts whose clocks differ; on an embedded store they are one."""

    def open(self):
        raise NotImplementedError

    @initialize()
    def begin(self):
        self.model, self.now, self.allowed = Model(), START, set()
        self.stores = self.open()
        self.cursors = [store.ledger.changes("")[0] for store in self.stores]
        self.mirrors = [set() for _ in self.stores]
        self.wire()

    def wire(self):
        self.pipelines = [
            Pipeline(JAILS, store.counters, store.ledger, self) for store in self.stores
        ]

    def protects(self, network):
        """The protection: an allow list that changes."""
        return "allowed" if network in self.allowed else None

    def host(self, number):
        """Store, pipeline, and what this host's clock says."""
        number %= len(self.stores)
        return self.stores[number], self.pipelines[number], self.now + 2.5 * number

    @rule(seconds=st.sampled_from([0.25, 40.0, 299.75, 600.0, 86400.0, 91 * 86400.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(number=hosts, network=networks, late=st.sampled_from([0.0, 0.0, 5.0, 200.0]))
    def rejection(self, number, network, late):
        _, pipeline, now = self.host(number)
        address = str(network).removesuffix("/64") + ("7" if network.version == 6 else "")
        time = now - late
        made = pipeline.hear([Rejection(time, address, Kind.RELAY_DENIED)], None)
        assert made == self.model.hear(network, time, JAILS, lambda n: n in self.allowed)

    @rule(network=networks)
    def allow_list_changes(self, network):
        self.allowed ^= {network}

    @rule(
        number=hosts,
        network=st.sampled_from(WIDE),
        source=st.sampled_from(["manual", "jail:quick", "jail:other"]),
        length=st.sampled_from([None, 60.0, 4000.0]),
    )
    def claim(self, number, network, source, length):
        store, _, now = self.host(number)
        claim = Claim(network, source, "x", now, None if length is None else now + length)
        assert store.ledger.claim([claim], now) == [self.model.claim(claim, now)]

    @rule(
        number=hosts,
        network=st.sampled_from([None, *WIDE]),
        source=st.sampled_from([None, "manual", "jail:quick", "feed:x"]),
    )
    def withdraw(self, number, network, source):
        store, _, now = self.host(number)
        ended = store.ledger.withdraw(network, source, now)
        assert set(ended) == set(self.model.withdraw(network, source, now))

    @rule(number=hosts, chosen=st.sets(st.sampled_from(WIDE)), until=st.sampled_from([None, 1e10]))
    def feed(self, number, chosen, until):
        store, _, now = self.host(number)
        claims = [Claim(network, "feed:x", "listed", now, until) for network in chosen]
        store.ledger.replace("feed:x", claims, now)
        self.model.replace("feed:x", claims, now)

    @rule(number=hosts, network=networks)
    def unban(self, number, network):
        _, pipeline, now = self.host(number)
        assert set(pipeline.unban(network, now=now)) == set(self.model.withdraw(network, None, now))
        self.model.forget(network)

    @rule(number=hosts)
    def follow(self, number):
        """A host takes in what changed since it last asked, and then has the whole ledger."""
        store, _, now = self.host(number)
        number %= len(self.stores)
        self.cursors[number], touched = store.ledger.changes(self.cursors[number])
        everything = set(store.ledger.claims(now))
        if touched is None:
            self.mirrors[number] = everything
        else:
            kept = {c for c in self.mirrors[number] if c.network not in touched}
            self.mirrors[number] = kept | {c for c in everything if c.network in touched}
        lasting = {c for c in self.mirrors[number] if c.until is None or c.until > now}
        assert lasting == self.model.claims(now)

    @rule(number=hosts)
    def look(self, number):
        store, _, now = self.host(number)
        assert set(store.ledger.claims(now)) == self.model.claims(now)
        assert store.ledger.size(now) == len(self.model.claims(now))
        for network, past in zip(WIDE, store.ledger.past(WIDE, now), strict=True):
            assert past.strikes == self.model.known_strikes(network, now)
            held = [(o.jail, o.time) for o in store.counters.counted(network)]
            recent = sorted(h for h in held if h[1] > now - WINDOWS[h[0]].findtime)
            assert recent == self.model.counted(network, WINDOWS, now)

    @rule()
    def restart(self):
        """Orderly; what a kill does is another test."""
        for store in self.stores:
            store.close()
        self.stores = self.open()
        self.wire()

    def teardown(self):
        for store in getattr(self, "stores", ()):
            store.close()


EXAMPLES = 2000 if os.environ.get("GUARD_SOAK") else 50
LIMITS = settings(max_examples=EXAMPLES, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("many", [tables.MANY, -1])
def test_embedded(many, monkeypatch):
    """One host with files; with values as they are where there are few addresses, and many."""
    monkeypatch.setattr(tables, "MANY", many)

    class OnDisk(Machine):
        def __init__(self):
            super().__init__()
            self.folder = Path(tempfile.mkdtemp())

        def open(self):
            return [EmbeddedStore(self.folder)]

        def teardown(self):
            super().teardown()
            shutil.rmtree(self.folder)

    run_state_machine_as_test(OnDisk, settings=LIMITS)


@pytest.mark.redis
@pytest.mark.parametrize(
    ("server", "many"), [("redis", MANY), ("redis", -1), ("valkey", MANY), ("valkey", -1)]
)
def test_redis(server, many, request, monkeypatch):
    """Two hosts on one Redis, or one Valkey; all bans end as few do, or as very many."""
    monkeypatch.setattr(redis_ledger, "MANY", many)
    redis_url = request.getfixturevalue(f"{server}_url")

    class OnRedis(Machine):
        emptied = False

        def open(self):
            stores = [RedisStore(redis_url), RedisStore(redis_url)]
            if not self.emptied:
                stores[0]._link.client.flushall()
                self.emptied = True
            return stores

    run_state_machine_as_test(OnRedis, settings=LIMITS)
