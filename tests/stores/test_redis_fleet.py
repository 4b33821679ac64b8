"""Redis and Valkey restarted, failed over by Sentinel, in Cluster mode: servers on loopback."""

import asyncio
import contextlib
import socket
from contextlib import ExitStack

import pytest
from redis_servers import Servers, start_cluster, start_sentinel, until
from support import valkey
from test_stream import record

from guard.events import Batch, Claim, Mark, Offence, Overflow, Part, Window
from guard.lib.networks import parse_network
from guard.roles import Unavailable
from guard.sources.stream import RedisStream
from guard.stores.outbox import Outbox
from guard.stores.redis_store import RedisStore
from guard.stores.shelter import Shelter
from guard.stores.stream import StreamSink

pytestmark = [pytest.mark.redis, pytest.mark.xdist_group("fleet")]
NOW = 1_757_675_281.5
WINDOWS = {"relay": Window(3, 600.0)}
SLOW = Window(10**6, 86400.0)
MANY = [parse_network(f"192.0.2.{n}") for n in range(200)] + [
    parse_network(f"2001:db8:0:{n:x}::/64") for n in range(1, 100)
]


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, each with its successor free too."""
    with ExitStack() as stack:
        found: list[int] = []
        while len(found) < number:
            first, second = (stack.enter_context(socket.socket()) for _ in range(2))
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            found.append(port)
        return found


@pytest.fixture(params=["redis", "valkey"])
def servers(request, tmp_path):
    made = Servers(tmp_path, valkey() if request.param == "valkey" else "redis-server")
    yield made
    made.close()


def jail(network):
    return Claim(network, "jail:relay", "x", NOW, NOW + 600)


def test_cluster(servers):
    """A batch of networks in many slots counts and claims as on one server."""
    store = RedisStore(start_cluster(servers, free_ports(3)))
    twice = [Offence("relay", n, NOW + i / 1000) for i, n in enumerate([*MANY, *MANY])]
    assert store.counters.count(twice, WINDOWS) == []
    third = [Offence("relay", n, NOW + 1 + i / 1000) for i, n in enumerate(MANY)]
    assert store.counters.count(third, WINDOWS) == [Overflow(*o[:3], 3) for o in third]
    cursor, _ = store.ledger.changes("")
    store.ledger.claim([jail(n) for n in MANY], NOW)
    assert store.ledger.changes(cursor)[1] == set(MANY)
    assert [p.strikes for p in store.ledger.past(MANY, NOW)] == [{"jail:relay": 1}] * len(MANY)
    feed = [Claim(n, "feed:x", "y", NOW, None) for n in MANY]
    assert store.ledger.replace("feed:x", feed, NOW) == (len(MANY), 0)
    assert len(store.ledger.withdraw(None, None, NOW)) == 2 * len(MANY)
    store.counters.count([Offence("relay", MANY[0], NOW + 5)], WINDOWS)
    store.counters.forget(MANY[0])
    assert store.counters.counted(MANY[0]) == []
    store.close()


def test_a_node_of_the_cluster_is_gone(servers):
    """What its slots should count waits for it; the others count at once, and nobody twice."""
    ports = free_ports(3)
    store = RedisStore(start_cluster(servers, ports))
    servers.kill(ports[1])
    assert store.counters.count([Offence("relay", n, NOW) for n in MANY], WINDOWS) == []
    late = [call for queue in store.counters._late.values() for call in queue]
    assert 50 < sum(len(call.places) for call in late) < 250
    servers.start(ports[1])

    def settled() -> bool:
        store.counters.count([Offence("slow", MANY[0], NOW)], {**WINDOWS, "slow": SLOW})
        return not store.counters._late

    until(settled)
    held = [[o for o in store.counters.counted(n) if o.jail == "relay"] for n in MANY]
    assert held == [[Offence("relay", n, NOW)] for n in MANY]
    store.close()


def test_a_daemon_is_killed_while_a_node_of_the_cluster_is_gone(servers, tmp_path):
    """The next one tells the whole batch again; the nodes that have it count nothing twice."""
    ports = free_ports(3)
    url = start_cluster(servers, ports)
    shelter = Shelter(RedisStore(url), Outbox(tmp_path))
    servers.kill(ports[1])
    for number in range(2):
        offences = [Offence("relay", network, NOW + number) for network in MANY]
        batch = Batch((Part(offences, WINDOWS),), Mark("log-1", b"%d" % number))
        assert shelter.count_once(batch) == []
    assert shelter.error == ""
    shelter._outbox.close()  # all that is left of a killed process
    servers.start(ports[1])
    opened: list[Shelter] = []

    def open_again() -> bool:
        with contextlib.suppress(Unavailable):
            opened.append(Shelter(RedisStore(url), Outbox(tmp_path)))
        return bool(opened)

    until(open_again)
    (again,) = opened
    until(lambda: again.count_once(Batch()) == [] and not again._store.counters.late)
    held = [again.counted(network) for network in MANY]
    assert held == [[Offence("relay", n, NOW), Offence("relay", n, NOW + 1)] for n in MANY]
    assert (again.mark("log-1"), again.owed) == (b"1", 0)
    again.close()


def test_cluster_carries_the_stream(servers):
    """From a listener's sink to a daemon's source, and gone when counted."""
    url = start_cluster(servers, free_ports(3))
    sink = StreamSink(url)
    for number in range(300):
        sink.put(record(number))
    sink.close()
    assert sink.sent == 300

    async def play() -> list[str]:
        found = []
        async with contextlib.aclosing(RedisStream(url).batches()) as batches, asyncio.timeout(30):
            async for batch in batches:
                found += [event.address for event in batch]
                if len(found) >= 300:
                    break
        return found

    assert asyncio.run(play()) == [f"192.0.{n // 256}.{n % 256}" for n in range(300)]


def test_sentinel_fails_over(servers):
    """The primary dies: for a moment Redis is unavailable, then the replica goes on with it all."""
    primary, replica, sentinel = free_ports(3)
    store = RedisStore(start_sentinel(servers, primary, replica, sentinel))
    store.ledger.claim([jail(MANY[0])], NOW)
    store.counters.count([Offence("relay", MANY[0], NOW, 2)], WINDOWS)
    cursor, _ = store.ledger.changes("")
    store._link.client.wait(1, 5000)
    servers.kill(primary)

    def again() -> bool:
        try:
            return bool(store.ledger.claim([jail(MANY[1])], NOW))
        except Unavailable as error:
            assert "redis+sentinel://" in str(error)
            return False

    assert not again()
    until(again)
    assert {c.network for c in store.ledger.claims(NOW)} == {MANY[0], MANY[1]}
    assert store.ledger.changes(cursor)[1] == {MANY[1]}
    assert store.counters.count([Offence("relay", MANY[0], NOW + 1)], WINDOWS)
    store.close()


def test_restart(servers):
    """Redis is restarted: unavailable while it is gone, then everything is as it was."""
    (port,) = free_ports(1)
    servers.start(port, "appendonly yes", "appendfsync always")
    store = RedisStore(f"redis://127.0.0.1:{port}")
    store.ledger.claim([jail(MANY[0])], NOW)
    store.counters.count([Offence("relay", MANY[0], NOW, 2)], WINDOWS)
    cursor, _ = store.ledger.changes("")
    servers.kill(port)
    for call in (
        lambda: store.counters.count([Offence("relay", MANY[0], NOW)], WINDOWS),
        lambda: store.counters.counted(MANY[0]),
        lambda: store.counters.forget(MANY[0]),
        lambda: store.ledger.claim([jail(MANY[0])], NOW),
        lambda: store.ledger.claims(NOW),
        lambda: store.ledger.changes(cursor),
        lambda: store.ledger.past([MANY[0]], NOW),
        lambda: store.ledger.withdraw(None, None, NOW),
        lambda: store.ledger.replace("feed:x", [jail(MANY[0])], NOW),
    ):
        with pytest.raises(Unavailable, match="Redis at redis://127"):
            call()
    servers.start(port)
    assert store.ledger.claims(NOW)[0].network == MANY[0]
    assert store.ledger.changes(cursor) == (cursor, set())
    assert store.counters.count([Offence("relay", MANY[0], NOW + 1)], WINDOWS) == [
        Overflow("relay", MANY[0], NOW + 1, 3)
    ]
    store.close()
