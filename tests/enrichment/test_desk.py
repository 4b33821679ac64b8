"""One service: who is asked about, when it is left alone, and what its answers do."""

import pytest

from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed, NotAsked
from guard.enrichment.desk import IDLE, Desk
from guard.enrichment.memory import Memory
from guard.events import Opinion
from guard.lib.networks import parse_network
from guard.roles import Unavailable

NOW = 1_757_678_400.0
DAY = 86400.0
A, B, C = (parse_network(f"192.0.2.{n}") for n in (1, 2, 3))
SIX, BLOCK = parse_network("2001:db8::1"), parse_network("2001:db8::/64")


class Service:
    """The role: answers from `known`; what is an exception there is raised."""

    name = "x"

    def __init__(self, allowance):
        self.allowance, self.asked = allowance, []
        self.known, self.error = {}, None

    def look_up(self, network, now):
        self.asked.append(network)
        self.allowance.take(now)
        if self.error is not None:
            raise self.error
        return self.known.get(network)


@pytest.fixture
def service(quotas):
    return Service(Allowance(quotas, "x", 100))


def desk(service, path=None, **more):
    return Desk(service, Memory(path, 5, DAY, 3600.0), **more)


def bad(score=87, **more):
    return Opinion("x", score, "reported", **more)


def test_the_worst_is_asked_about_and_has_a_score(service):
    """Nothing is known before; who is unknown there is not asked about again."""
    made = desk(service)
    service.known[B] = bad()
    for network in (A, B, B):
        assert made.score(network, NOW) is None
        made.notice(network, 1)
    assert [made.step(NOW) for _ in range(3)] == [0.0, 0.0, IDLE]
    assert service.asked == [B, A]
    assert [made.score(n, NOW + 1) for n in (A, B)] == [-1, 87]
    assert [made.score(n, NOW + DAY) for n in (A, B)] == [None, None]


def test_an_address_stands_for_the_network_it_is_counted_under(service):
    """IPv6 is counted by /64 and asked about by address; a bare /64 cannot be asked about."""
    made = desk(service, key=lambda n: n.supernet(64 if n.version == 6 else 32))
    service.known[SIX] = bad(60)
    made.notice(BLOCK, 1, SIX)
    made.step(NOW)
    assert made.score(BLOCK, NOW) == 60
    made.notice(parse_network("2001:db8:1::/64"), 1)
    made.step(NOW)
    assert service.asked == [SIX]


def test_the_protected_are_not_asked_about(service):
    """Who is never blocked is nobody else's business, and costs no question."""
    made = desk(service, unasked=lambda n: "own address" if n == A else None)
    made.notice(A, 1)
    made.notice(B, 1)
    assert [made.step(NOW), made.step(NOW)] == [0.0, 0.0]
    assert service.asked == [B]


def test_a_service_that_says_when_is_left_alone_until_then(service):
    """Also by hand; whoever waited is asked about afterwards, and one line is logged."""
    made = desk(service)
    service.error = LookUpFailed("x: the quota is spent", 90.0)
    made.notice(A, 3)
    made.step(NOW)
    assert made.step(NOW + 1) == IDLE
    with pytest.raises(Unavailable, match="the quota is spent"):
        made.question(B, NOW + 30).result(0)
    service.error = None
    assert made.step(NOW + 90) == 0.0
    assert service.asked == [A, A]
    assert made.brief(NOW + 90)["error"] == ""
    assert made.question(B, NOW + 90).done() is False


def test_a_service_that_is_gone_is_tried_ever_more_rarely(service):
    """By itself; whoever asks by hand is tried at once."""
    made = desk(service)
    service.error = LookUpFailed("x: no answer in time")
    made.notice(A, 1)
    now, pauses = NOW, []
    assert made.step(now) == 0.0
    for _ in range(9):
        start = now
        while (pause := made.step(now)) > 0:
            now += pause
        pauses.append(now - start)
    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    future = made.question(B, now)
    made.step(now)
    with pytest.raises(LookUpFailed):
        future.result(0)


def test_the_last_tenth_of_a_day_is_for_whoever_asks_by_hand(service, quotas):
    """It is no failure, and by hand it goes on to the end."""
    service.allowance = Allowance(quotas, "x", 10)
    made = desk(service)
    for number in range(1, 12):
        made.notice(parse_network(f"192.0.2.{number}"), 1)
    assert [made.step(NOW) for _ in range(10)] == [0.0] * 9 + [IDLE]
    assert len(service.asked) == 9
    future = made.question(A, NOW)
    again = made.question(parse_network("192.0.2.99"), NOW)
    made.step(NOW)
    made.step(NOW)
    assert future.result(0).opinion is None
    with pytest.raises(LookUpFailed, match="10 questions of today are spent"):
        again.result(0)
    row = made.brief(NOW)
    assert (row["left today"], row["of"], row["failed"], row["error"]) == (0, 10, 0, "")
    assert made.step(NOW + DAY) == 0.0


def test_by_hand_comes_first_and_what_is_known_comes_at_once(service):
    """The answer then counts for the jails too."""
    made = desk(service)
    service.known[A] = bad()
    made.notice(B, 100)
    future = made.question(A, NOW)
    made.step(NOW)
    assert service.asked == [A]
    assert future.result(0).opinion == bad()
    assert made.score(A, NOW) == 87
    assert made.question(A, NOW + 5).result(0).time == NOW


def test_what_cannot_be_asked_is_no_failure(service):
    """A block at a service for addresses: only the question has an error."""
    made = desk(service)
    service.error = NotAsked("is asked about single addresses only")
    future = made.question(BLOCK, NOW)
    made.step(NOW)
    with pytest.raises(NotAsked):
        future.result(0)
    assert made.brief(NOW)["failed"] == 0
    made.notice(A, 1)
    assert made.step(NOW) == 0.0


def test_nobody_waits_for_a_question_that_was_given_up(service):
    """`guard explain` went away: the question is not asked."""
    made = desk(service)
    made.question(A, NOW).cancel()
    assert made.step(NOW) == 0.0
    assert service.asked == []


def test_a_veto_is_told_and_holds_until_it_is_asked_again(service):
    """Past its time it is asked again; not confirmed, it ends, and unanswered it ends later."""
    told = []
    made = desk(service, vetoed=lambda: told.append(made.vetoes()))
    service.known[A] = bad(0, veto=True, facts={"name": "Google DNS"})
    made.notice(A, 1)
    made.step(NOW)
    mine = [(A, "x: reported, Google DNS")]
    assert told == [mine]
    made.step(NOW + DAY - 1)
    service.error = LookUpFailed("x: gone")
    made.step(NOW + DAY + 61)
    made.step(NOW + DAY + 3700)
    assert made.vetoes() == mine
    assert service.asked == [A] * 3
    service.error = None
    del service.known[A]
    made.step(NOW + DAY + 9000)
    assert told == [mine, []]


def test_a_veto_of_a_service_that_stays_away_ends(service):
    """Twice its time is enough."""
    made = desk(service)
    service.known[A] = bad(0, veto=True)
    made.notice(A, 1)
    made.step(NOW)
    service.error = LookUpFailed("x: gone")
    made.step(NOW + 2 * DAY - 1)
    assert made.vetoes()
    made.step(NOW + 2 * DAY + 100)
    assert made.vetoes() == []


def test_a_restart_knows_scores_and_vetoes(service, tmp_path):
    """Before anybody is asked."""
    made = desk(service, tmp_path / "x.json")
    service.known |= {A: bad(), B: bad(0, veto=True)}
    made.notice(A, 1)
    made.notice(B, 1)
    made.step(NOW)
    made.step(NOW)
    made.memory.save()
    again = desk(service, tmp_path / "x.json")
    again.open(NOW + 10)
    assert again.score(A, NOW + 10) == 87
    assert again.vetoes() == [(B, "x: reported")]


def test_what_is_displaced_is_forgotten_everywhere(service):
    """Memory bounds scores and vetoes too."""
    made = desk(service)
    for number in range(1, 9):
        network = parse_network(f"192.0.2.{number}")
        service.known[network] = bad(veto=True)
        made.notice(network, 1)
        made.step(NOW)
    assert made.score(A, NOW) is None
    assert len(made.vetoes()) == len(made.memory) == 5


def test_a_store_that_is_gone_is_a_failure_like_another(service):
    """Who does not know what others spent spends nothing."""

    def gone(*_):
        raise Unavailable("Redis does not answer")

    made = desk(service)
    service.allowance._quotas.left = gone
    made.notice(A, 1)
    assert made.step(NOW) == 0.0
    assert service.asked == []
    assert made.brief(NOW)["error"] == "Redis does not answer"
    assert made.brief(NOW)["left today"] is None
