"""Feeds followed for months with a clock of the test's own, from a real server, into a ledger."""

import pytest
from listserver import Page

from guard.events import Offence
from guard.feeds.copies import KEPT, FolderCopies, PartState, RedisCopies
from guard.feeds.listfiles import MxrouteSettings, ScannersSettings
from guard.feeds.plain import PlainSettings
from guard.feeds.spamhaus import SpamhausDropSettings
from guard.feeds.status import status
from guard.feeds.sync import Feeds
from guard.lib.networks import parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.own import Here
from guard.protect.protection import LAYERS, Protectors
from guard.protect.settings import ProtectSettings
from guard.stores.embedded_ledger import EmbeddedLedger

net = parse_network
START = 1_700_000_000.0
HOUR, DAY = 3600.0, 86400.0


def lines(*texts):
    return "".join(f"{text}\n" for text in texts).encode()


def many(count, first=0):
    """A list of `count` lone addresses."""
    return lines(*(f"11.{i >> 7}.{2 * i & 255}.1" for i in range(first, first + count)))


class Host:
    """A host that follows `settings` and owns a ledger, or shares one."""

    def __init__(self, copies, *settings, ledger=None):
        self.shield = Protectors.build(ProtectSettings(), here=lambda: Here(["185.200.0.1"]))
        self.ledger = ledger or EmbeddedLedger(None, 3600.0)
        recipes = [one.recipe() for one in settings]
        self.feeds = Feeds(recipes, copies, self.shield, chance=lambda: 0.5)

    def run(self, now):
        """What a daemon does now and then."""
        for plan in self.feeds.step(now):
            self.feeds.apply(plan, self.ledger, now)
        return self.claimed(now)

    def claimed(self, now):
        return {str(claim.network) for claim in self.ledger.claims(now)}

    def state(self, name="mxroute"):
        return self.feeds.state(name)

    def part(self, name="mxroute"):
        return next(iter(self.state(name).parts.values()))


@pytest.fixture
def host(server, tmp_path):
    """One that follows a list of MXroute's kind, every day."""
    return Host(FolderCopies(tmp_path / "feeds"), MxrouteSettings(url=server.url + "/list"))


def test_what_leaves_the_list_is_let_go_at_that_sync(server, host):
    """And what the operator or a jail claims as well stays claimed."""
    from guard.events import Claim

    server.pages["/list"] = Page(lines("185.4.0.1", "185.4.0.3", "185.4.0.5"))
    assert host.run(START) == {"185.4.0.1", "185.4.0.3", "185.4.0.5"}
    host.ledger.claim([Claim(net("185.4.0.3"), "manual", "", START, None)], START)
    server.pages["/list"] = Page(lines("185.4.0.1", "185.4.0.7"))
    assert host.run(START + HOUR) == {"185.4.0.1", "185.4.0.3", "185.4.0.5"}
    assert host.run(START + DAY) == {"185.4.0.1", "185.4.0.3", "185.4.0.7"}
    assert (host.state().came, host.state().went) == (1, 2)


def test_the_server_is_asked_when_due_and_not_before(server, host):
    """Once a day; by hand not within the hour that its owner asks for; over a restart too."""
    server.pages["/list"] = Page(lines("185.4.0.1"))
    host.run(START)
    for hours in (0.5, 1, 12, 23.9):
        host.run(START + hours * HOUR)
    assert len(server.asked) == 1
    again = Host(host.feeds._copies, MxrouteSettings(url=server.url + "/list"))
    assert again.run(START + 2 * HOUR) == {"185.4.0.1"}
    assert len(server.asked) == 1
    assert not again.feeds.collect("mxroute", START + 0.9 * HOUR, force=True)
    assert again.feeds.collect("mxroute", START + HOUR, force=True)
    assert len(server.asked) == 2
    assert server.asked[1][1]["If-None-Match"]
    again.run(START + HOUR + DAY)
    assert len(server.asked) == 3


def test_a_dead_source_keeps_its_claims_until_they_end(server, host, caplog):
    """404 for a week: all stays; then the claims end. It is asked ever more rarely."""
    server.pages["/list"] = Page(lines("185.4.0.1"))
    host.run(START)
    del server.pages["/list"]
    now = START
    while now < START + 7 * DAY:
        now += HOUR
        assert host.run(now) == {"185.4.0.1"}
    assert 7 < len(server.asked) < 40
    assert "404" in host.part().error
    assert caplog.text.count("the last good copy stays") == 1
    until = host.ledger.claims(now)[0].until
    assert START + 7 * DAY <= until <= START + 9 * DAY
    assert host.run(until + 1) == set()
    server.pages["/list"] = Page(lines("185.4.0.9"))
    assert host.run(until + 2 * DAY) == {"185.4.0.9"}
    assert host.part().error == ""


def test_a_server_that_asks_for_patience_gets_it(server, host):
    """Retry-After outlasts the back-off, for the operator's hand too."""
    server.pages["/list"] = Page(b"", status=429, headers={"Retry-After": str(3 * 86400)})
    host.run(START)
    host.run(START + 2 * DAY)
    assert not host.feeds.collect("mxroute", START + 2 * DAY, force=True)
    assert len(server.asked) == 1
    host.run(START + 3 * DAY)
    assert len(server.asked) == 2


def test_nothing_that_is_no_list_displaces_one(server, host):
    """HTML, emptiness, a cut body, garbage: the old list stays, and the fault is shown."""
    server.pages["/list"] = Page(many(100))
    before = host.run(START)
    now = START
    for page, why in (
        (Page(b"<html>", kind="text/html"), "text/html"),
        (Page(b""), "empty"),
        (Page(b"# all gone\n"), "empty"),
        (Page(many(101), way="cut"), "cut off"),
        (Page(b"\x00\x01\x02" * 100), "cannot be read"),
        (Page(b"128.0.0.0/2\n"), "wider"),
    ):
        server.pages["/list"] = page
        now += 2 * DAY
        assert host.run(now) == before
        assert why in host.part().error
        server.pages["/list"] = Page(many(100))
        now += 2 * DAY
        assert host.run(now) == before
        assert host.part().error == ""


def test_a_purge_is_taken_when_it_lasts_or_is_accepted(server, host):
    """Half the list gone: refused, refused, believed after a day; or at once by hand."""
    server.pages["/list"] = Page(many(1000))
    assert len(host.run(START)) == 1000
    server.pages["/list"] = Page(many(300))
    assert len(host.run(START + DAY)) == 1000
    assert "shrank from 1000 entries to 300" in host.part().error
    assert status(host.feeds.recipes["mxroute"], host.state()).held
    assert len(host.run(START + 1.5 * DAY)) == 1000
    assert len(host.run(START + 3 * DAY)) == 300
    assert host.part().odd is None
    server.pages["/list"] = Page(many(10))
    now = START + 5 * DAY
    assert len(host.run(now)) == 300
    assert host.feeds.collect("mxroute", now + HOUR, force=True, accept=True)
    assert len(host.run(now + HOUR)) == 10


def test_the_protected_are_left_out_and_counted(server, host):
    """Own, private, senders and the operator's; ranges are carved exactly."""
    server.pages["/list"] = Page(
        lines(
            "127.0.0.1",
            "10.0.0.0/8",
            "209.85.160.71",
            "185.200.0.1",
            "185.4.0.0/24",
            "185.4.0.0/24",
        )
    )
    host.shield.replace("allow", [(net("185.4.0.128/25"), "allow office")])
    assert host.run(START) == {"185.4.0.0/25"}
    state = host.state()
    assert (state.entries, state.duplicates, state.networks) == (6, 1, 1)
    assert state.removed == {
        "loopback (RFC 1122, 3.2.1.3)": 1,
        "private (RFC 1918)": 1,
        "mail sender gmail": 1,
        "own address": 1,
        "allow office": 1,
    }
    assert ("209.85.160.71", "mail sender gmail") in state.shown


def test_a_change_of_protection_is_applied_to_the_copy(server, host):
    """Nothing is fetched for it, and no more than once a minute."""
    server.pages["/list"] = Page(lines("185.4.0.0/24", "185.6.0.1"))
    assert host.run(START) == {"185.4.0.0/24", "185.6.0.1"}
    host.shield.replace("allow", [(net("185.4.0.0/25"), "allow")])
    assert host.run(START + 30) == {"185.4.0.0/24", "185.6.0.1"}
    assert host.run(START + 61) == {"185.4.0.128/25", "185.6.0.1"}
    host.shield.replace("allow", [])
    assert host.run(START + 130) == {"185.4.0.0/24", "185.6.0.1"}
    assert len(server.asked) == 1


def test_claims_are_renewed_in_strides(server, host):
    """An unchanged list does not rewrite every claim at every fetch."""
    server.pages["/list"] = Page(many(100))
    ends = set()
    for day in range(14):
        host.run(START + day * (DAY + 60))
        (until,) = {claim.until for claim in host.ledger.claims(START + day * (DAY + 60))}
        assert until >= START + day * (DAY + 60) + 7 * DAY
        ends.add(until)
    assert 7 <= len(ends) <= 9
    assert len(server.asked) == 14


def test_a_restart_without_a_source_uses_the_copy(server, host):
    """Also with a new ledger: the copy on disk is parsed, and claims end as they would have."""
    server.pages["/list"] = Page(lines("185.4.0.1"))
    host.run(START)
    until = host.ledger.claims(START)[0].until
    del server.pages["/list"]
    again = Host(host.feeds._copies, MxrouteSettings(url=server.url + "/list"))
    assert again.run(START + 2 * DAY) == {"185.4.0.1"}
    assert again.ledger.claims(START + 2 * DAY)[0].until == until


def test_one_part_that_is_gone_does_not_hold_up_the_others(server, tmp_path):
    """Each part has its own copy, its own faults and its own end."""
    urls = tuple(f"{server.url}/{name}" for name in "ab")
    host = Host(FolderCopies(tmp_path), ScannersSettings(urls=urls))
    server.pages["/a"], server.pages["/b"] = Page(lines("185.4.0.1")), Page(lines("185.4.0.3"))
    assert host.run(START) == {"185.4.0.1", "185.4.0.3"}
    del server.pages["/b"]
    now = START
    for _ in range(14):
        now += DAY + 60
        server.pages["/a"] = Page(lines("185.4.0.1"))
        host.run(now)
    assert host.claimed(now) == {"185.4.0.1"}
    shown = status(host.feeds.recipes["scanners"], host.state("scanners"))
    assert len(shown.faults) == 1
    assert shown.fetched == START


def test_a_dry_run_and_a_score_claim_nothing(server, tmp_path):
    """They are fetched, checked and counted all the same."""
    server.pages["/list"] = Page(lines("185.4.0.1", "10.0.0.1"))
    url = server.url + "/list"
    host = Host(
        FolderCopies(tmp_path),
        PlainSettings(name="try", url=url, dry_run=True),
        PlainSettings(name="raise", url=url, action="score"),
    )
    assert host.run(START) == set()
    assert host.state("try").removed == {"private (RFC 1918)": 1}
    assert status(host.feeds.recipes["try"], host.state("try")).action == "dry run"


def test_a_score_lowers_the_bar_for_the_listed(server, tmp_path):
    """In one jail or in all; the heaviest list counts; who left the list counts as anybody."""
    server.pages["/a"], server.pages["/b"] = Page(lines("185.4.0.0/24")), Page(lines("185.4.0.1"))
    host = Host(
        FolderCopies(tmp_path),
        PlainSettings(name="a", url=server.url + "/a", action="score", score=2),
        PlainSettings(name="b", url=server.url + "/b", action="score", score=5, jail="relay"),
    )
    assert host.feeds.suspects is not None
    assert host.run(START) == set()

    def bars(jail):
        made = [Offence(jail, net(f"185.4.{i}"), START, 3) for i in ("0.1", "0.2", "1.1")]
        found = [host.feeds.suspects.suspicion(offence, 9) for offence in made]
        return [one and tuple(one) for one in found]

    by_a, by_b = (5, "listed by a"), (2, "listed by b")
    assert bars("relay") == [by_b, by_a, None]
    assert bars("auth") == [by_a, by_a, None]
    server.pages["/b"] = Page(lines("185.4.1.1"))
    host.run(START + 2 * DAY)
    assert bars("relay") == [by_a, by_a, by_b]


def test_a_difference_is_told_before_it_is_made(server, host):
    """For `guard feeds sync --dry-run`: what would come and go."""
    server.pages["/list"] = Page(lines("185.4.0.1", "185.4.0.3"))
    host.run(START)
    server.pages["/list"] = Page(lines("185.4.0.3", "185.4.0.5"))
    host.feeds.collect("mxroute", START + HOUR, force=True)
    plan = host.feeds.plan("mxroute", START + HOUR, always=True)
    found = host.feeds.difference(plan, host.ledger, START + HOUR)
    assert (found.came, found.went) == ([net("185.4.0.5")], [net("185.4.0.1")])
    assert host.claimed(START + HOUR) == {"185.4.0.1", "185.4.0.3"}


def test_a_spoilt_copy_is_nothing_and_said(server, host, caplog):
    """Somebody's editor on the state directory does not stop the others."""
    server.pages["/list"] = Page(lines("185.4.0.1"))
    host.run(START)
    copies = host.feeds._copies
    copies.save("mxroute", host.state().parts)
    (copies._folder / "mxroute.json").write_text("{")
    again = Host(copies, MxrouteSettings(url=server.url + "/list"))
    assert again.run(START + 60) == {"185.4.0.1"}
    assert "passed over" in caplog.text


def test_a_clock_that_was_far_ahead_does_not_lock_a_feed_out(server, host):
    """After the clock is put right it is asked again."""
    server.pages["/list"] = Page(lines("185.4.0.1"))
    host.run(START + 1000 * DAY)
    host.run(START)
    assert len(server.asked) == 2


@pytest.mark.redis
def test_ten_hosts_fetch_once(server, redis_url):
    """Copies, times and claims are shared: whoever comes second finds it done."""
    import redis

    from guard.stores.redis_store import RedisStore

    server.pages["/list"] = Page(many(200))
    stores = [RedisStore(redis_url) for _ in range(10)]
    clients = [redis.Redis.from_url(redis_url) for _ in range(10)]
    try:
        hosts = [
            Host(
                RedisCopies(client, "test"),
                MxrouteSettings(url=server.url + "/list"),
                ledger=store.ledger,
            )
            for store, client in zip(stores, clients, strict=True)
        ]
        for day in range(3):
            for host in hosts:
                assert len(host.run(START + day * (DAY + 60))) == 200
            assert len(server.asked) == day + 1
            clients[0].delete("guard:feed:{mxroute}:turn")  # ten minutes pass for Redis
        assert 0 < clients[0].ttl("guard:feed:{mxroute}") <= KEPT
        clients[0].hset("guard:feed:{mxroute}", "state", "spoilt")
        assert hosts[0].state().parts == {}
    finally:
        for client in clients:
            client.close()
        for store in stores:
            store.close()


@pytest.mark.redis
def test_only_one_host_has_the_turn(redis_url):
    """Two that find a feed due at the same moment do not both ask."""
    import redis

    with redis.Redis.from_url(redis_url) as client:
        one, two = RedisCopies(client, "x"), RedisCopies(client, "x")
        assert one.lease("a", 60.0)
        assert not two.lease("a", 60.0)
        assert two.lease("b", 60.0)
        one.put("a", "http://u", b"x" * 1000)
        assert two.body("a", "http://u") == b"x" * 1000
        assert two.body("a", "http://v") is None


def test_spamhaus_over_a_year(server, tmp_path, shared):
    """The dated copies in turn: claims are the collapsed list less the protected, each time."""
    from guard.feeds.spamhaus import parse_drop

    folder = shared / "feeds" / "spamhaus"
    host = Host(FolderCopies(tmp_path), SpamhausDropSettings(urls=(server.url + "/v4",)))
    now, before = START, set()
    for path in sorted(folder.glob("drop_v4_*.json")):
        data = path.read_bytes()
        server.pages["/v4"] = Page(data, kind="application/json")
        now += 3 * DAY
        claimed = host.run(now)
        right = Prefixes(parse_drop(data).networks).minus(host.shield.prefixes)
        assert claimed == {str(network) for network in right}
        state = host.state("spamhaus-drop")
        assert (state.came, state.went) == (len(claimed - before), len(before - claimed))
        shown = status(host.feeds.recipes["spamhaus-drop"], state)
        assert "Spamhaus" in shown.notice
        assert shown.terms.startswith("https://")
        before = claimed
        server.pages["/v4"] = Page(b"\n".join(data.split(b"\n")[:-3]) + b"\n")
        now += 2 * DAY
        assert host.run(now) == claimed
        assert "cut off" in host.part("spamhaus-drop").error


def test_real_lists_hold_nobody_legitimate(server, tmp_path, shared):
    """AbuseIPDB and MXroute as they were: no sender, own or non-global address is claimed."""
    from guard.feeds.text import parse_lines

    names = {"abuse": "abuseipdb_blacklist_20260315.txt", "mx": "mxroute_botnet.list"}
    for name, file in names.items():
        server.pages[f"/{name}"] = Page((shared / "feeds" / file).read_bytes())
    host = Host(
        FolderCopies(tmp_path), *(PlainSettings(name=n, url=f"{server.url}/{n}") for n in names)
    )
    host.run(START)
    walls = _walls(host.shield)
    for name in names:
        listed = parse_lines(server.pages[f"/{name}"].body).networks
        claims = [c.network for c in host.ledger.claims(START) if c.source == f"feed:{name}"]
        assert not any(host.shield.protects(network) for network in claims)
        slow = [n for n in set(listed) if any(w.covers(n) for w in walls[n.value >> 24])]
        assert sum(host.state(name).removed.values()) == len(slow)
        assert sum(1 << (32 - c.length) for c in claims) == len(set(listed)) - len(slow)
    assert host.state("abuse").removed["mail sender gmail"] == 20
    assert host.state("mx").removed["loopback (RFC 1122, 3.2.1.3)"] == 1


def _walls(shield):
    """Every protected IPv4 network, under each first octet that it has addresses in."""
    walls = {octet: set() for octet in range(256)}
    for layer in LAYERS:
        for network, _ in shield.layer(layer):
            if network.version == 4:
                for octet in range(network.value >> 24, (network.last >> 24) + 1):
                    walls[octet].add(network)
    return walls


def test_states_of_other_releases_are_read():
    """Members that are missing have their defaults."""
    import msgspec

    assert msgspec.json.decode(b"{}", type=PartState) == PartState()


def test_an_oddity_that_did_not_last_begins_anew(server, host):
    """A list that was itself again in between (304) is not taken as having been odd all along."""
    server.pages["/list"] = Page(many(200))
    host.run(START)
    server.pages["/list"] = Page(many(60))
    assert len(host.run(START + 2 * DAY)) == 200
    assert host.part().odd is not None
    server.pages["/list"] = Page(many(200))
    host.run(START + 4 * DAY)
    assert host.part().odd is None
    server.pages["/list"] = Page(many(60))
    assert len(host.run(START + 6 * DAY)) == 200


@pytest.mark.redis
def test_a_fetch_by_hand_takes_turns_with_the_fleet(server, redis_url):
    """While another host fetches nobody else does; when it is done, what it fetched is not due."""
    import redis

    server.pages["/list"] = Page(many(200))
    with redis.Redis.from_url(redis_url) as client:
        copies = RedisCopies(client, "x"), RedisCopies(client, "x")
        one, two = (Host(c, MxrouteSettings(url=server.url + "/list")) for c in copies)
        assert copies[0].lease("mxroute", 60.0)
        assert not two.feeds.collect("mxroute", START, force=True)
        copies[1].release("mxroute")  # not its own
        assert not two.feeds.collect("mxroute", START, force=True)
        copies[0].release("mxroute")
        assert one.feeds.collect("mxroute", START, force=True)
        assert not two.feeds.collect("mxroute", START + 1, force=True)
        assert len(server.asked) == 1


def test_what_a_dry_run_fetched_waits(server, host):
    """No daemon applies it at its next look; a sync does, without asking the owner again."""
    server.pages["/list"] = Page(lines("11.0.0.1"))
    host.run(START)
    server.pages["/list"] = Page(lines("11.0.0.3"))
    later = START + 2 * HOUR
    assert host.feeds.collect("mxroute", later, force=True, dry_run=True)
    plan = host.feeds.plan("mxroute", later, always=True)
    assert len(host.feeds.difference(plan, host.ledger, later).came) == 1
    assert host.run(later + 600) == {"11.0.0.1"}
    assert not host.feeds.collect("mxroute", later + 700, force=True)
    assert host.run(later + 700) == {"11.0.0.3"}
    assert len(server.asked) == 2
    server.pages["/list"] = Page(lines("11.0.0.5"))
    host.feeds.collect("mxroute", later + 2 * HOUR, force=True, dry_run=True)
    assert host.run(later + 2 * DAY) == {"11.0.0.5"}
