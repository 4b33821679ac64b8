"""What `Counters` promises, held against every store."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.events import Offence, Overflow, Window
from guard.lib.networks import parse_network

A, B = parse_network("192.0.2.1"), parse_network("2001:db8:0:1::/64")
C = parse_network("198.51.100.0/24")
WINDOWS = {"relay": Window(3, 600.0), "slow": Window(5, 86400.0), "one": Window(1, 60.0)}


def test_the_window_that_fills_is_reported_once(store):
    """The offence that fills a window overflows it, and it starts anew."""
    offences = [Offence("relay", A, 1000.0 + i) for i in range(5)]
    assert store.counters.count(offences, WINDOWS) == [Overflow("relay", A, 1002.0, 3)]
    assert store.counters.count([Offence("relay", A, 1005.0)], WINDOWS) == [
        Overflow("relay", A, 1005.0, 3)
    ]


def test_networks_and_jails_count_apart(store):
    """Nobody is counted for what another did, in a batch of any mixture."""
    offences = [
        Offence(jail, network, 1000.0 + i)
        for i in range(2)
        for jail in ("relay", "slow")
        for network in (A, B, C)
    ]
    assert store.counters.count(offences, WINDOWS) == []
    assert store.counters.count([Offence("relay", B, 1003.5)], WINDOWS) == [
        Overflow("relay", B, 1003.5, 3)
    ]


def test_overflows_come_in_the_order_of_their_offences(store):
    """The order of a batch is the order of its answers."""
    offences = [
        Offence("one", B, 5.25),
        Offence("relay", A, 5.5, 7),
        Offence("one", A, 5.5),
        Offence("one", B, 5.75),
    ]
    assert store.counters.count(offences, WINDOWS) == [
        Overflow("one", B, 5.25, 1),
        Overflow("relay", A, 5.5, 7),
        Overflow("one", A, 5.5, 1),
        Overflow("one", B, 5.75, 1),
    ]


def test_a_call_may_ask_for_less(store):
    """Of a suspect fewer are enough, those held before included; everybody else is as before."""
    store.counters.count([Offence("relay", n, 1000.0 + i) for n in (A, B) for i in (0, 1)], WINDOWS)
    lowered = {"relay": Window(1, 600.0)}
    assert store.counters.count([Offence("relay", A, 1002.0)], lowered) == [
        Overflow("relay", A, 1002.0, 3)
    ]
    store.counters.count(
        [Offence("slow", n, 1003.0 + i) for n in (A, B) for i in range(4)], WINDOWS
    )
    lowered = {"slow": Window(2, 86400.0)}
    assert store.counters.count([Offence("slow", A, 1010.0)], lowered) == [
        Overflow("slow", A, 1010.0, 5)
    ]
    assert len(store.counters.counted(B)) == 6
    assert store.counters.count([Offence("relay", B, 1011.0)], WINDOWS) == [
        Overflow("relay", B, 1011.0, 3)
    ]


def test_times_keep_every_bit(store):
    """Microseconds of a time since the epoch are counted and given back as they are."""
    time = 1757675281.4123456
    store.counters.count([Offence("relay", A, time)], WINDOWS)
    assert store.counters.counted(A) == [Offence("relay", A, time)]


def test_a_threshold_may_change(store):
    """A jail that is read again with another maxretry judges by the new one at once."""
    store.counters.count([Offence("relay", A, 1000.0), Offence("relay", A, 1001.0)], WINDOWS)
    stricter = {"relay": Window(2, 600.0)}
    assert store.counters.count([Offence("relay", A, 1002.0)], stricter) == [
        Overflow("relay", A, 1002.0, 3)
    ]


def test_counted_shows_what_is_held_and_forget_drops_it(store):
    """Every jail's rejections of exactly one network, oldest first; forgetting touches no other."""
    store.counters.count(
        [Offence("slow", A, 20.0), Offence("relay", A, 10.0, 2), Offence("slow", B, 15.0)], WINDOWS
    )
    assert store.counters.counted(A) == [
        Offence("relay", A, 10.0),
        Offence("relay", A, 10.0),
        Offence("slow", A, 20.0),
    ]
    store.counters.forget(A)
    assert store.counters.counted(A) == []
    assert store.counters.counted(B) == [Offence("slow", B, 15.0)]


def test_thousands_are_forgotten_at_once(store):
    """As by `guard unban --all`: those named, and nobody else; nobody is no fault."""
    many = [parse_network(f"10.0.{n >> 8}.{n & 255}") for n in range(5000)]
    offences = [Offence("relay", network, 10.0) for network in [*many, A, B]]
    store.counters.count(offences, WINDOWS)
    store.counters.forget(*many[1:], A)
    store.counters.forget()
    held = [network for network in [*many, A, B] if store.counters.counted(network)]
    assert held == [many[0], B]


def test_an_empty_batch_is_nothing(store):
    """Asking for nothing answers nothing."""
    assert store.counters.count([], WINDOWS) == []


def test_counts_survive_an_orderly_restart(reopened):
    """Half of a ban's rejections before, half after."""
    store = reopened()
    store.counters.count([Offence("relay", A, 1000.0), Offence("relay", B, 1000.5)], WINDOWS)
    store.counters.count([Offence("relay", A, 1001.0)], WINDOWS)
    store.counters.forget(B)
    store.close()
    store = reopened()
    assert store.counters.counted(B) == []
    assert store.counters.count([Offence("relay", A, 1002.0)], WINDOWS) == [
        Overflow("relay", A, 1002.0, 3)
    ]


class Model:
    """The counters in a few lines: every time kept, everything counted again."""

    def __init__(self):
        self.held = {}

    def count(self, offences, windows):
        overflows = []
        for jail, network, time, rejections in offences:
            maxretry, findtime = windows[jail][:2]
            times = self.held.get((jail, network), [])
            newest = max([*times, time])
            if time <= newest - findtime:
                continue
            times = sorted(t for t in [*times, *[time] * rejections] if t > newest - findtime)
            if len(times) >= maxretry:
                overflows.append(Overflow(jail, network, time, len(times)))
                times = []
            self.held[jail, network] = times
        return overflows


histories = st.lists(
    st.lists(
        st.builds(
            lambda jail, network, late, rejections: (jail, network, late, rejections),
            st.sampled_from(["relay", "slow"]),
            st.sampled_from([A, B, C]),
            st.sampled_from([0.0, 0.0, 0.5, 250.0, 599.0]),
            st.sampled_from([1, 1, 1, 2]),
        ),
        max_size=8,
    ),
    max_size=8,
)


@pytest.mark.parametrize("step", [0.25, 90.0, 500.0])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories)
def test_any_history_gives_the_answers_of_the_model(store, step, history):
    """Batches of any offences, some of them late, overflow as the model says."""
    for network in (A, B, C):
        store.counters.forget(network)
    model, now = Model(), 1_757_675_281.25
    for batch in history:
        offences = []
        for jail, network, late, rejections in batch:
            now += step
            offences.append(Offence(jail, network, now - late, rejections))
        assert store.counters.count(offences, WINDOWS) == model.count(offences, WINDOWS)
    for network in (A, B, C):
        expected = [
            (jail, time)
            for (jail, n), times in model.held.items()
            if n == network
            for time in times
        ]
        found = [(o.jail, o.time) for o in store.counters.counted(network)]
        assert recent(found, now) == recent(expected, now)


def recent(hits, now):
    """Those that still matter; when a store lets go of the others is its own affair."""
    return sorted((jail, time) for jail, time in hits if time > now - WINDOWS[jail].findtime)


SHARED = {
    "quick": Window(3, 600.0, 86400.0),
    "slow": Window(6, 86400.0, 86400.0),
    "other": Window(4, 3600.0, 86400.0),
}
SETS = ["quick+slow", "quick+slow", "other+slow", "slow", "other", "slow+other+quick"]
shared = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(SETS),
            st.sampled_from([A, A, B]),
            st.sampled_from([0.0, 0.0, 0.0, 0.5, 599.0, 3599.0]),
            st.sampled_from([1, 1, 1, 2, 5]),
        ),
        max_size=12,
    ),
    max_size=8,
)


in_order = st.lists(
    st.lists(
        st.tuples(st.sampled_from([A, A, A, B]), st.sampled_from([0.0, 0.25, 60.0, 400.0, 4000.0])),
        max_size=30,
    ),
    max_size=8,
)


@pytest.mark.parametrize("name", ["slow", "quick+slow", "slow+other+quick"])
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=in_order)
def test_rejections_in_order_fill_each_window_in_turn(store, name, history):
    """The common case, in long batches: the same jails, one rejection each, none of them late."""
    for network in (A, B):
        store.counters.forget(network)
    model, now = Model(), 1_757_675_281.25
    for batch in history:
        offences = []
        for network, later in batch:
            now += later
            offences.append(Offence(name, network, now))
        alone = [o._replace(jail=jail) for o in offences for jail in name.split("+")]
        assert store.counters.count(offences, SHARED) == model.count(alone, SHARED)


@pytest.mark.parametrize("step", [0.25, 200.0, 9000.0])
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=shared)
def test_jails_that_share_offences_count_as_if_they_did_not(store, step, history):
    """Named together or one after the other, every window fills as the model says."""
    for network in (A, B):
        store.counters.forget(network)
    model, now = Model(), 1_757_675_281.25
    for batch in history:
        offences = []
        for jail, network, late, rejections in batch:
            now += step
            offences.append(Offence(jail, network, now - late, rejections))
        alone = [o._replace(jail=name) for o in offences for name in o.jail.split("+")]
        assert store.counters.count(offences, SHARED) == model.count(alone, SHARED)
    for network in (A, B):
        newest = {}
        for (jail, n), times in model.held.items():
            newest.update({jail: times} if n == network and times else {})
        found = [(o.jail, o.time) for o in store.counters.counted(network)]
        for jail, times in newest.items():
            assert [time for name, time in found if name == jail][-len(times) :] == times
