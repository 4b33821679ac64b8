"""From events to claims, with a real store in memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.events import (
    Acceptance,
    Claim,
    Kind,
    Mark,
    Offence,
    Rejection,
    Suspicion,
    Window,
)
from guard.jails.crowd import Crowd
from guard.jails.escalation import length_of
from guard.jails.jail import Escalation, Jail
from guard.jails.reasons import seen_here
from guard.jails.settings import CrowdSettings, JailsSettings
from guard.lib.networks import parse_network
from guard.pipeline import Pipeline
from guard.protect.restraint import Restraint
from guard.protect.settings import ProtectSettings
from guard.roles import Unavailable
from guard.stores.embedded import EmbeddedStore
from guard.stores.open import open_store
from guard.stores.settings import StoreSettings

NOW = 1_757_675_281.5
SIX = "2001:db8:0:1::"


def jail(name="relay", *, maxretry=3, findtime=600.0, kinds=(Kind.RELAY_DENIED,), **more):
    return Jail(
        name=name, filter=name, kinds=frozenset(kinds), window=Window(maxretry, findtime), **more
    )


class Protect:
    """A protection of one network."""

    def __init__(self, *texts: str) -> None:
        self._networks = [parse_network(text) for text in texts]

    def protects(self, network):
        return "allowed" if any(n.overlaps(network) for n in self._networks) else None


@pytest.fixture(autouse=True)
def stores(monkeypatch):
    """Closes the stores that a test made."""
    made, begin = [], EmbeddedStore.__init__

    def noted(self, *arguments, **named):
        made.append(self)
        begin(self, *arguments, **named)

    monkeypatch.setattr(EmbeddedStore, "__init__", noted)
    yield
    for store in made:
        store.close()


def pipeline(*jails: Jail, protect=(), store=None, **more) -> Pipeline:
    store = store or EmbeddedStore(None)
    made = Pipeline(jails or [jail()], store.counters, store.ledger, Protect(*protect), **more)
    made.store = store
    return made


def rejections(*times: float, address="192.0.2.1", kind=Kind.RELAY_DENIED, count=1, line=""):
    return [Rejection(time, address, kind, count, line) for time in times]


def test_enough_rejections_are_a_claim():
    """maxretry within findtime: the claim begins at the last one and says why."""
    made = pipeline(jail(bantime=900.0)).hear(rejections(NOW - 3, NOW - 2, NOW - 1), NOW)
    assert made == [
        Claim(
            parse_network("192.0.2.1"),
            "jail:relay",
            "3 rejections within 10m",
            NOW - 1,
            NOW + 899,
            1,
        )
    ]


def test_too_few_or_too_slow_are_nothing():
    """One less, or one findtime apart from the first, bans nobody."""
    assert pipeline().hear(rejections(NOW - 2, NOW - 1), NOW) == []
    assert pipeline().hear(rejections(NOW - 1200, NOW - 600, NOW), None) == []


def test_kinds_and_filters_choose_the_jails():
    """A structured rejection goes by its kind, a line of a text log by its filter."""
    auth = jail("auth", maxretry=1, kinds=(Kind.AUTH_FAILED,))
    text = jail("exim", maxretry=1, kinds=())
    heard = [
        *rejections(NOW, kind=Kind.AUTH_FAILED),
        *rejections(NOW, kind=None, line="exim", address="192.0.2.2"),
        *rejections(NOW, kind=None, line="unknown", address="192.0.2.3"),
        *rejections(NOW, kind=Kind.OTHER, address="192.0.2.4"),
        Acceptance(NOW, "192.0.2.5", "mail"),
    ]
    made = pipeline(auth, text).hear(heard, NOW)
    assert [(str(c.network), c.source) for c in made] == [
        ("192.0.2.1", "jail:auth"),
        ("192.0.2.2", "jail:exim"),
    ]


def test_one_rejection_counts_in_every_jail_that_wants_it():
    """Two jails, two claims on one network."""
    made = pipeline(jail(maxretry=1), jail("slow", maxretry=1)).hear(rejections(NOW), NOW)
    assert [c.source for c in made] == ["jail:relay", "jail:slow"]


def test_ipv6_counts_by_its_64():
    """Addresses of one /64 are one offender; another width is a setting."""
    heard = [r for n in range(3) for r in rejections(NOW, address=f"{SIX}{n + 1}")]
    assert [str(c.network) for c in pipeline().hear(heard, NOW)] == [f"{SIX}/64"]
    wide = JailsSettings(path=(), filters=(), ipv4_prefix=24, ipv6_prefix=128)
    assert pipeline(settings=wide).hear(heard, NOW) == []
    four = [r for n in range(3) for r in rejections(NOW, address=f"192.0.2.{n}")]
    assert [str(c.network) for c in pipeline(settings=wide).hear(four, NOW)] == ["192.0.2.0/24"]


def test_who_is_banned_is_not_banned_again():
    """While its claim lives the same jail makes no other; afterwards it does."""
    made = pipeline(jail(maxretry=1, bantime=100.0))
    assert len(made.hear(rejections(NOW, NOW + 50, NOW + 99), None)) == 1
    assert made.tally.already == 2
    assert [c.since for c in made.hear(rejections(NOW + 100), None)] == [NOW + 100]


def test_bans_get_longer_with_strikes():
    """Each strike of the jail doubles; other jails' count only with overalljails."""
    increment = Escalation(length=length_of())
    overall = Escalation(length=length_of(), overalljails=True)
    made = pipeline(
        jail(maxretry=1, bantime=100.0, escalation=increment),
        jail("all", maxretry=1, bantime=100.0, escalation=overall, kinds=(Kind.SCANNER,)),
    )
    heard = rejections(NOW, NOW + 1000, NOW + 2000)
    claims = made.hear([*heard, *rejections(NOW + 3000, kind=Kind.SCANNER)], None)
    assert [c.until - c.since for c in claims] == [100, 200, 400, 800]
    assert [c.strikes for c in claims] == [1, 2, 3, 4]


def test_chance_lengthens_by_rndtime():
    """The random part comes from outside."""
    increment = Escalation(length=length_of(), rndtime=60.0)
    made = pipeline(jail(maxretry=1, bantime=100.0, escalation=increment), chance=lambda: 0.5)
    claims = made.hear(rejections(NOW, NOW + 1000), None)
    assert [c.until - c.since for c in claims] == [100, 230]


def test_ignored_and_protected_networks_are_never_claimed():
    """The whole network counts: one protected address in a /64 spares it. Both are counted."""
    ignoring = jail(maxretry=1, ignoreip=(parse_network("192.0.2.0/25"),))
    made = pipeline(ignoring, protect=[f"{SIX}25"])
    heard = [*rejections(NOW), *rejections(NOW, address=f"{SIX}1")]
    assert made.hear(heard, NOW) == []
    assert (made.tally.ignored, made.tally.protected) == (1, 1)
    assert len(made.hear(rejections(NOW, address="192.0.2.200"), NOW)) == 1


def test_live_time_is_bounded_by_now():
    """The future is now; what is older than the window, or over already, is nothing."""
    made = pipeline(jail(maxretry=1))
    assert made.hear(rejections(NOW + 9999), NOW)[0].since == NOW
    assert made.hear(rejections(NOW - 600, address="192.0.2.2"), NOW) == []
    assert made.tally.stale == 1
    short = pipeline(jail(maxretry=1, bantime=60.0))
    assert short.hear(rejections(NOW - 60), NOW) == []
    assert short.tally.late == 1
    assert made.hear(rejections(float("nan"), address="192.0.2.3"), NOW)[0].since == NOW


def test_an_address_that_is_none_is_passed_over():
    """Sources give canonical addresses; whatever else comes must not stop the others."""
    heard = [*rejections(NOW, address="evil\n"), *rejections(NOW)]
    assert len(pipeline(jail(maxretry=1)).hear(heard, NOW)) == 1


@pytest.mark.parametrize("settings", [None, JailsSettings(path=(), filters=(), ipv4_prefix=24)])
def test_mail_vouches_for_its_sender_when_it_is_sure_of_it(settings):
    """Minutes after the batch in which it was heard, in one that has others' events only."""
    store = EmbeddedStore(None)
    restraint = Restraint(ProtectSettings(), store.standing, store.counters)
    made = pipeline(jail(weak=True), store=store, restraint=restraint, settings=settings)
    made.hear([Acceptance(NOW, "192.0.2.5", "mail")], NOW)
    made.hear(rejections(NOW + 600, address="198.51.100.9"), NOW + 600)
    assert made.hear(rejections(*[NOW + 700] * 3, address="192.0.2.5"), NOW + 700) == []
    assert made.tally.spared == 1


def test_by_hand():
    """A ban by hand stands beside those of jails; an un-ban ends all and forgets the counts."""
    made, network = pipeline(jail(maxretry=2)), parse_network("192.0.2.1")
    claim = made.ban(network, until=NOW + 60, reason="x", now=NOW)
    assert claim == Claim(network, "manual", "x", NOW, NOW + 60)
    made.hear(rejections(NOW, NOW, NOW), NOW)
    assert {c.source for c in made.unban(network, now=NOW)} == {"manual", "jail:relay"}
    assert made.hear(rejections(NOW), NOW) == []
    made.hear(rejections(NOW), NOW)
    assert [c.source for piece in made.unban_all(now=NOW) for c in piece.claims] == ["jail:relay"]
    assert made.unban(network, now=NOW) == []


class Failing:
    """A store's part whose next call fails."""

    def __init__(self, part, method):
        self._part, self._method, self.fail = part, method, True

    def __getattr__(self, name):
        part = getattr(self._part, name)

        def call(*args, **kwargs):
            if name in (self._method, f"{self._method}_once") and self.fail:
                self.fail = False
                raise Unavailable("gone")
            return part(*args, **kwargs)

        return call


@pytest.mark.parametrize("method", ["count", "past", "claim"])
def test_a_lost_store_neither_loses_nor_doubles(method):
    """The same batch again, after the store came back, gives what it would have given."""
    store = EmbeddedStore(None)
    counters = Failing(store.counters, method) if method == "count" else store.counters
    ledger = Failing(store.ledger, method) if method != "count" else store.ledger
    made = Pipeline([jail(maxretry=2)], counters, ledger, Protect())
    heard = [r for n in range(9000) for r in rejections(NOW, address=f"192.0.{n // 250}.{n % 250}")]
    heard += rejections(NOW)
    with pytest.raises(Unavailable):
        made.hear(heard, NOW)
    claims = made.hear(heard, NOW)
    made.hear(heard[:2500], NOW)
    expected = pipeline(jail(maxretry=2), store=EmbeddedStore(None))
    assert [c.network for c in claims] == [c.network for c in expected.hear(heard, NOW)]
    assert made.tally.counted == 11501


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 400), st.integers(1, 3), st.integers(1, 4)), max_size=60),
    st.integers(1, 20),
)
def test_how_events_are_cut_into_batches_changes_nothing(heard, size):
    """One by one or all at once: the same bans."""
    events = [
        Rejection(NOW + 7 * time, f"192.0.2.{number}", Kind.RELAY_DENIED, count)
        for time, number, count in sorted(heard)
    ]
    jails = jail(maxretry=4), jail("slow", maxretry=9, findtime=5000.0, bantime=1000.0)
    whole = pipeline(*jails).hear(events, None)
    pieces = pipeline(*jails)
    cut = [c for i in range(0, len(events), size) for c in pieces.hear(events[i : i + size], None)]
    assert cut == whole


def test_recidive_counts_the_bans_of_other_jails():
    """A jail whose filter is `recidive` counts bans, never its own; its ban is one more claim."""
    again = Jail(name="again", filter="recidive", window=Window(2, 86400.0), bantime=604800.0)
    made = pipeline(jail(maxretry=1, bantime=100.0), again)
    claims = made.hear(rejections(NOW, NOW + 1000, NOW + 2000, NOW + 3000), None)
    assert [c.reason for c in claims if c.source == "jail:again"] == ["2 bans within 1d"]
    assert sorted((c.source, c.since) for c in claims) == [
        ("jail:again", NOW + 1000),
        ("jail:relay", NOW),
        ("jail:relay", NOW + 1000),
        ("jail:relay", NOW + 2000),
        ("jail:relay", NOW + 3000),
    ]


def crowded(protect=(), **more):
    """A pipeline that watches blocks, on a store in memory."""
    store = EmbeddedStore(None)
    watch = Crowd(CrowdSettings(addresses=3, **more), store.crowds, store.ledger, Protect(*protect))
    return pipeline(jail(maxretry=1, bantime=100.0), store=store, crowd=watch)


def test_many_banned_addresses_ban_their_block():
    """Three addresses of a /24, each counted once, claim the whole; an IPv6 /48 alike."""
    made = crowded()
    heard = [r for n in (1, 1, 2, 2) for r in rejections(NOW, address=f"192.0.2.{n}")]
    heard += rejections(NOW + 200, address="192.0.2.1")
    assert {str(c.network) for c in made.hear(heard, None)} == {"192.0.2.1", "192.0.2.2"}
    claims = made.hear(rejections(NOW + 300, address="192.0.2.3"), None)
    assert claims[1] == Claim(
        parse_network("192.0.2.0/24"),
        "jail:crowd",
        "3 addresses banned within 1d",
        NOW + 300,
        NOW + 300 + 86400,
        1,
    )
    assert len(made.hear(rejections(NOW + 400, address="192.0.2.4"), None)) == 1
    six = [r for n in range(3) for r in rejections(NOW, address=f"2001:db8:7:{n}::1")]
    assert str(made.hear(six, None)[-1].network) == "2001:db8:7::/48"


def test_who_is_un_banned_is_not_of_a_crowd():
    """After `unban` of a block it takes as many again; one let in by himself counts no more."""
    made = crowded()
    for n in (1, 2, 3):
        made.hear(rejections(NOW + n, address=f"192.0.2.{n}"), None)
    made.unban(parse_network("192.0.2.0/24"), now=NOW + 3)
    for n in (1, 4):
        made.hear(rejections(NOW + 200 + n, address=f"192.0.2.{n}"), None)
    made.unban(parse_network("192.0.2.4"), now=NOW + 205)
    found = made.hear(rejections(NOW + 206, address="192.0.2.5"), None)
    assert [str(claim.network) for claim in found] == ["192.0.2.5"]
    found = made.hear(rejections(NOW + 207, address="192.0.2.6"), None)
    assert [str(claim.network) for claim in found] == ["192.0.2.6", "192.0.2.0/24"]


def test_a_crowd_is_of_its_time():
    """Bans further apart than the window do not add up."""
    made = crowded(within=1000.0)
    heard = [r for n in range(9) for r in rejections(NOW + 501 * n, address=f"192.0.2.{n}")]
    assert all(c.network.is_address for c in made.hear(heard, None))


def test_a_block_with_somebody_protected_is_spared():
    """One protected address keeps its whole block from being claimed."""
    made = crowded(protect=["192.0.2.200"])
    heard = [r for n in range(5) for r in rejections(NOW, address=f"192.0.2.{n}")]
    assert len(made.hear(heard, None)) == 5
    assert made._crowd.spared == 3


class Known:
    """Suspects: of some addresses so many rejections are enough."""

    def __init__(self, **bars: int) -> None:
        self.bars = {f"192.0.2.{name[1:]}": bar for name, bar in bars.items()}

    def suspicion(self, offence, maxretry):
        bar = self.bars.get(str(offence.network))
        return None if bar is None else Suspicion(bar, "abuseipdb score 87")


def test_of_suspects_fewer_rejections_are_enough():
    """Each by his own bar, in one batch with everybody else; the reason says so."""
    made = pipeline(jail(maxretry=5), suspects=[Known(n1=2, n2=1, n3=9), Known(n1=1)])
    heard = [r for n in range(1, 6) for r in rejections(NOW - 1, address=f"192.0.2.{n}")]
    claims = made.hear(heard, NOW)
    why = "1 rejection within 10m, fewer are enough: abuseipdb score 87"
    assert [(str(c.network), c.reason) for c in claims] == [("192.0.2.1", why), ("192.0.2.2", why)]
    assert made.tally.counted == 5
    assert not any(map(seen_here, claims))


def test_what_was_counted_before_the_suspicion_counts():
    """Whoever is known too late fills the lowered window with his next rejection."""
    known = Known()
    made = pipeline(jail(maxretry=10), suspects=[known])
    assert made.hear(rejections(*[NOW - 9 + n for n in range(5)]), NOW) == []
    known.bars["192.0.2.1"] = 4
    (claim,) = made.hear(rejections(NOW), NOW)
    assert claim.reason == "6 rejections within 10m, fewer are enough: abuseipdb score 87"


def test_a_suspect_who_does_enough_anyway_is_banned_for_that():
    """As many rejections as the jail asks for are evidence of our own."""
    made = pipeline(jail(maxretry=3), suspects=[Known(n1=1)])
    (claim,) = made.hear(rejections(NOW, count=3), NOW)
    assert claim.reason == "3 rejections within 10m"
    assert seen_here(claim)


def test_a_store_that_goes_between_two_bars_counts_nothing_twice():
    """Counters that cannot count all bars at once go on with the one at which they were lost."""
    store = EmbeddedStore(None)
    calls = []

    class Plain:
        """Counters that know no marks."""

        counted, forget, close = store.counters.counted, store.counters.forget, print

        def count(self, offences, windows):
            calls.append(len(offences))
            if len(calls) == 2:
                raise Unavailable("gone")
            return store.counters.count(offences, windows)

    made = Pipeline([jail(maxretry=3)], Plain(), store.ledger, Protect(), suspects=[Known(n1=2)])
    heard = [*rejections(NOW, address="192.0.2.9", count=2), *rejections(NOW)]
    with pytest.raises(Unavailable):
        made.hear(heard, NOW)
    assert made.hear(heard, NOW) == []
    assert calls == [1, 1, 1]
    (claim,) = made.hear(rejections(NOW, address="192.0.2.9"), NOW)
    assert claim.reason == "3 rejections within 10m"


class Killed(BaseException):
    """What nobody catches."""


@pytest.mark.parametrize("where", ["past", "claim", "after claim", "count_on"])
@pytest.mark.parametrize("place", ["embedded", pytest.param("redis", marks=pytest.mark.redis)])
def test_a_ban_is_made_by_the_next_process_when_this_one_is_killed(
    request, tmp_path, monkeypatch, where, place
):
    """Between the count and the claim, or the claim and what counts bans: once, in one strike."""
    url = request.getfixturevalue("redis_url") if place == "redis" else None
    jails = jail(maxretry=2, bantime=None), jail("recidive", kinds=(), maxretry=2, bantime=None)

    def opened():
        return open_store(StoreSettings(url=url), tmp_path, counting=True)

    def die(*args, **kwargs):
        raise Killed

    def last(*args, **kwargs):
        claim(*args, **kwargs)
        raise Killed

    store = opened()
    claim = store.ledger.claim
    made = Pipeline(jails, store.counters, store.ledger, Protect())
    (network,) = {made.key(parse_network("192.0.2.1"))}
    with monkeypatch.context() as patch:
        if where in ("past", "claim"):
            patch.setattr(store.ledger, where, die)
        elif where == "after claim":
            patch.setattr(store.ledger, "claim", last)
        else:
            patch.setattr(made._once, where, die)
        with pytest.raises(Killed):
            made.hear(rejections(NOW, NOW + 1), NOW + 1, Mark("log-1", b"two"))
    # The kernel lets go of the files of a killed process; their contents stay.
    kill(store)
    store = opened()
    made = Pipeline(jails, store.counters, store.ledger, Protect())
    assert made.marked("log-1") == b"two"
    made.catch_up(NOW + 9)
    assert [(c.network, c.since, c.strikes) for c in store.ledger.claims(NOW + 9)] == [
        (network, NOW + 1, 1)
    ]
    assert store.counters.counted(network) == [Offence("recidive", network, NOW + 1)]
    assert made.catch_up(NOW + 10) == []
    store.close()


def kill(store):
    """Lets go of a store without an orderly end."""
    if hasattr(store, "shelter"):
        store.shelter._outbox.close()
        store.shelter._store.close()
    else:
        store.counters._journal.close()
        store.counters._journal = None
        store.close()


def test_an_operators_pardon_outlives_a_crash(tmp_path):
    """Who was un-banned before the word that his ban is settled was written is not banned anew."""
    store = EmbeddedStore(tmp_path)
    made = Pipeline([jail(maxretry=2, bantime=None)], store.counters, store.ledger, Protect())
    made._once.settle = lambda: None
    made.hear(rejections(NOW, NOW + 1), NOW + 1)
    made.unban(parse_network("192.0.2.1"), now=NOW + 2)
    kill(store)
    store = EmbeddedStore(tmp_path)
    made = Pipeline([jail(maxretry=2, bantime=None)], store.counters, store.ledger, Protect())
    assert made.catch_up(NOW + 3) == []
    assert store.ledger.claims(NOW + 3) == []
    store.close()


def many(count=700, *, times=2):
    """So many offenders, enough for several slices, each with `times` rejections."""
    return [
        r
        for n in range(count)
        for r in rejections(*[NOW] * times, address=f"198.18.{n // 250}.{n % 250}")
    ]


class Told:
    """A kernel that is told in a hurry: `some` has what it was told at a time, "all" for a wait."""

    def __init__(self):
        self.some = []

    def begin(self, claims):
        self.some.append(claims)

    def wait(self):
        self.some.append("all")

    @property
    def claims(self):
        """All that it was told of."""
        return [claim for some in self.some if some != "all" for claim in some]


def test_the_kernel_hears_of_the_first_before_the_last_are_decided(tmp_path):
    """In a hurry each slice is told as it is decided; all are on disk when `hear` returns."""
    store = EmbeddedStore(tmp_path)
    made = Pipeline([jail(maxretry=2)], store.counters, store.ledger, Protect())
    told = Told()
    claims = made.hear(many(), NOW, Mark("log", b"1"), told)
    assert told.some[-1] == "all"
    assert [len(some) for some in told.some[:-1]] == [200, 200, 200, 100]
    assert [(c.network, c.until) for c in told.claims] == [(c.network, c.until) for c in claims]
    expected = pipeline(jail(maxretry=2))
    assert claims == expected.hear(many(), NOW)
    kill(store)
    store = EmbeddedStore(tmp_path)
    assert len(store.ledger.claims(NOW)) == 700
    assert store.counters.unsettled() == []
    store.close()


@pytest.mark.parametrize("when", ["second hurry", "claim", "after claim", "count_on"])
def test_a_hurry_that_is_killed_is_made_good_by_the_next_process(tmp_path, monkeypatch, when):
    """Each is claimed once, in one strike, whatever the kernel heard of that the disk did not."""
    store = EmbeddedStore(tmp_path)
    jails = jail(maxretry=2, bantime=None), jail("recidive", kinds=(), maxretry=2, bantime=None)
    made = Pipeline(jails, store.counters, store.ledger, Protect())

    class Hurry(Told):
        def begin(self, claims):
            super().begin(claims)
            if when == "second hurry" and len(self.some) == 2:
                monkeypatch.setattr(store.ledger, "claim", die)  # a killed process writes not
                raise Killed

    def die(*arguments):
        raise Killed

    def last(*arguments, claim=store.ledger.claim):
        claim(*arguments)
        raise Killed

    if when == "count_on":
        monkeypatch.setattr(made._once, "count_on", die)
    elif when != "second hurry":
        monkeypatch.setattr(store.ledger, "claim", die if when == "claim" else last)
    with pytest.raises(Killed):
        made.hear(many(), NOW, Mark("log", b"1"), Hurry())
    kill(store)
    store = EmbeddedStore(tmp_path)
    before = len(store.ledger.claims(NOW))
    assert before == (0 if when in ("second hurry", "claim") else 700)
    made = Pipeline(jails, store.counters, store.ledger, Protect())
    made.catch_up(NOW + 1)
    claims = store.ledger.claims(NOW)
    assert len(claims) == 700
    assert {(c.since, c.strikes) for c in claims} == {(NOW, 1)}
    held = store.counters.counted(claims[0].network)
    assert held == [Offence("recidive", claims[0].network, NOW)]
    assert made.catch_up(NOW + 2) == []
    store.close()


@pytest.mark.parametrize("fails", ["the disk", "a judgement"])
def test_a_hurry_that_meets_a_full_disk_neither_loses_nor_doubles(tmp_path, monkeypatch, fails):
    """Claims that could not be made are made with the same batch again, and told once."""
    store = EmbeddedStore(tmp_path)
    made = Pipeline([jail(maxretry=2)], store.counters, store.ledger, Protect())
    place, name, at = (
        (store.ledger, "_save", 1) if fails == "the disk" else (made._claiming, "_judge", 500)
    )
    calls, works = [], getattr(place, name)

    def once(*arguments):
        calls.append(1)
        if len(calls) == at:
            raise Unavailable("no space left")
        return works(*arguments)

    monkeypatch.setattr(place, name, once)
    heard = many()
    told = Told()
    with pytest.raises(Unavailable):
        made.hear(heard, NOW, Mark("log", b"1"), told)
    assert len(store.ledger.claims(NOW)) == (0 if fails == "the disk" else 400)
    assert len(told.claims) == (700 if fails == "the disk" else 400)
    claims = made.hear(heard, NOW, Mark("log", b"1"), told)
    assert claims == pipeline(jail(maxretry=2)).hear(heard, NOW)
    assert {c.strikes for c in store.ledger.claims(NOW)} == {1}
    assert made.tally.claimed == 700
    assert store.counters.unsettled() == []
    store.close()


def test_only_those_whom_nobody_claims_are_hurried(tmp_path):
    """What else is claimed on a network decides when its block ends; so does another jail's ban."""
    store = EmbeddedStore(tmp_path)
    jails = jail(maxretry=2), jail("long", maxretry=2, bantime=None)
    made = Pipeline(jails, store.counters, store.ledger, Protect())
    listed = parse_network("198.18.0.7")
    store.ledger.claim([Claim(listed, "feed:drop", "listed", NOW, None)], NOW)
    told = Told()
    claims = made.hear(many(), NOW, Mark("log", b"1"), told)
    hurried = [claim.network for claim in told.claims]
    assert len(claims) == 2 * 700
    assert len(hurried) == len(set(hurried)) == 699
    assert listed not in hurried
    assert {(c.source, c.strikes) for c in claims} == {("jail:relay", 1), ("jail:long", 2)}
    store.close()
