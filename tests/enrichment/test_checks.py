"""All services together: for jails, for `guard explain`, and in threads of their own."""

import threading
import time
from contextlib import contextmanager

import pytest

from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed
from guard.enrichment.checks import Checks
from guard.enrichment.desk import Desk
from guard.enrichment.memory import Memory
from guard.events import Offence, Opinion, Suspicion, Window
from guard.jails.jail import Condition, Jail
from guard.lib.networks import parse_network
from guard.roles import BadInput

NOW = 1_757_678_400.0
A, SIX = parse_network("192.0.2.1"), parse_network("2001:db8::1")
BLOCK = parse_network("2001:db8::/64")
JAILS = (
    Jail(
        name="relay",
        filter="x",
        conditions=(
            Condition(name="abuseipdb", score=75, maxretry=3),
            Condition(name="zen", score=100, maxretry=2),
        ),
    ),
    Jail(name="auth", filter="x"),
    Jail(name="all", filter="x", conditions=(Condition(name="virustotal", score=1),)),
)


class Service:
    """Answers what it is told to, when `go` says so."""

    def __init__(self, name, quotas):
        self.name, self.allowance = name, Allowance(quotas, name, 100)
        self.answer, self.asked, self.go = None, [], threading.Event()
        self.go.set()

    def look_up(self, network, now):
        self.asked.append(network)
        self.go.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def services(quotas):
    return {name: Service(name, quotas) for name in ("abuseipdb", "greynoise", "zen")}


def key(network):
    return network.supernet(32 if network.version == 4 else 64)


@contextmanager
def running(services, **more):
    """Checks whose threads run, ended at last."""

    def vetoed():
        made.vetoed()

    desks = [
        Desk(s, Memory(None, 100, 3600.0, 60.0), key=key, vetoed=vetoed) for s in services.values()
    ]
    made = Checks(desks, JAILS, clock=lambda: NOW, key=key, **{"wait": 5.0, **more})
    made.open()
    made.start()
    try:
        yield made
    finally:
        for service in services.values():
            service.go.set()
        made.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("check ")]


def until(happens):
    """Waits until `happens()`."""
    deadline = time.monotonic() + 10
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def opinion(name, score, **more):
    return Opinion(name, score, "reported", facts={"ISP": "Example"}, **more)


def test_a_jails_condition_holds_once_the_score_is_known(services):
    """The lowest bar of those that hold; a jail without conditions asks nobody."""
    services["abuseipdb"].answer = opinion("abuseipdb", 87)
    services["zen"].answer = opinion("zen", 99)
    with running(services) as made:
        assert made.wants
        assert made.suspicion(Offence("auth", A, NOW), 10) is None
        assert made.suspicion(Offence("all", A, NOW), 10) is None
        assert made.suspicion(Offence("relay", A, NOW), 10) is None
        until(lambda: made.suspicion(Offence("relay", A, NOW), 10))
        found = Suspicion(3, "abuseipdb score 87")
        assert made.suspicion(Offence("relay", A, NOW), 10) == found
        assert made.suspicion(Offence("relay", A, NOW), 3) is None
        until(lambda: services["zen"].asked)
        assert made.suspicion(Offence("relay", A, NOW + 3600), 10) is None
    assert services["greynoise"].asked == []


def test_nobody_is_asked_for_a_jail_that_asks_for_no_more(services):
    """A condition of all jails costs no question for one where a rejection is enough anyway."""
    desks = [Desk(s, Memory(None, 100, 3600.0, 60.0)) for s in services.values()]
    conditions = (Condition(name="zen", score=100),)
    one = Jail(name="one", filter="x", window=Window(1, 600.0), conditions=conditions)
    made = Checks(desks, [one], clock=lambda: NOW, key=key, wait=1.0)
    assert not made.wants
    assert made.suspicion(Offence("one", A, NOW), 1) is None
    assert [row["waiting"] for row in made.brief(NOW)] == [0, 0, 0]


def test_ipv6_is_asked_about_by_the_address_that_was_heard(services):
    """The jail counts a /64."""
    services["zen"].answer = opinion("zen", 100)
    with running(services) as made:
        made.heard(SIX)
        made.heard(BLOCK)
        made.suspicion(Offence("relay", BLOCK, NOW), 10)
        until(lambda: made.suspicion(Offence("relay", BLOCK, NOW), 10))
    assert services["zen"].asked == [SIX]


def test_a_veto_is_asked_for_every_jail_and_protects(services):
    """All vetoes are given anew whenever one comes."""
    protected = []
    services["greynoise"].answer = opinion("greynoise", 0, veto=True)
    with running(services, vetoing=["greynoise"], protect=protected.append) as made:
        made.suspicion(Offence("auth", A, NOW), 10)
        until(lambda: len(protected) > 1)
    assert protected == [[], [(A, "greynoise: reported")]]


def test_by_hand_all_are_asked_at_once_and_those_that_hang_are_not_waited_for(services):
    """The whole takes the wait and no longer; what a service says later is there the next time."""
    services["abuseipdb"].answer = opinion("abuseipdb", 87)
    services["greynoise"].answer = LookUpFailed("greynoise: the quota is spent", 60.0)
    services["zen"].go.clear()
    with running(services, wait=0.3) as made:
        before = time.monotonic()
        rows = {row["name"]: row for row in made.opinions(now=NOW, address=str(A))}
        assert 0.25 < time.monotonic() - before < 3
        assert rows["abuseipdb"] == {
            "name": "abuseipdb", "score": 87, "verdict": "reported", "veto": False,
            "facts": {"ISP": "Example"}, "age": 0, "error": None, "enough": {"relay": 3},
        }  # fmt: skip
        assert rows["greynoise"]["error"] == "greynoise: the quota is spent"
        assert rows["zen"]["error"] == "not answered"
        services["zen"].answer = opinion("zen", 100)
        services["zen"].go.set()
        until(lambda: made.opinions(now=NOW, address=str(A))[2]["score"] == 100)
        assert [row["name"] for row in made.brief(NOW)] == ["abuseipdb", "greynoise", "zen"]


def test_a_service_that_hangs_holds_up_neither_counting_nor_the_end(services):
    """Ten thousand rejections are weighed while nobody answers, and closing does not wait."""
    services["abuseipdb"].go.clear()
    services["zen"].go.clear()
    with running(services) as made:
        before = time.monotonic()
        for number in range(10_000):
            network = parse_network(f"198.51.{number % 100}.{number % 250}")
            assert made.suspicion(Offence("relay", network, NOW), 5) is None
        assert time.monotonic() - before < 5
        assert all(row["waiting"] <= 1000 for row in made.brief(NOW))
        before = time.monotonic()
        made.close()
        assert time.monotonic() - before < 3


def test_unknown_private_and_bad_addresses(services):
    """Each is said; nobody is asked about private space."""
    private = {parse_network("10.0.0.1"): "private (RFC 1918)"}.get
    with running(services, private=private) as made:
        row = made.opinions(now=NOW, address=str(A))[0]
        assert (row["verdict"], row["error"], row["age"]) == (None, None, 0)
        errors = {row["error"] for row in made.opinions(now=NOW, address="10.0.0.1")}
        assert errors == {"not asked: private (RFC 1918)"}
        with pytest.raises(BadInput):
            made.opinions(now=NOW, address="10.0.0.1/8; rm")
    assert services["abuseipdb"].asked == [A]


def test_a_fault_of_ours_does_not_end_the_asking(services, caplog):
    """It is logged with its traceback; the question has no answer; the next one has."""
    services["abuseipdb"].answer = ZeroDivisionError("ours")
    with running({"abuseipdb": services["abuseipdb"]}, wait=0.2) as made:
        assert made.opinions(now=NOW, address=str(A))[0]["error"] == "not answered"
        services["abuseipdb"].answer = None
        assert made.opinions(now=NOW, address="192.0.2.2")[0]["error"] is None
    assert "ZeroDivisionError" in caplog.text
