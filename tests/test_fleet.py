"""Two daemons on one Redis: each mirrors the whole ledger into its own firewall."""

import signal
import statistics
import time
from contextlib import ExitStack, closing

import pytest
import redis
from netns import eventually
from service import Service

from guard.control import call
from guard.events import Claim
from guard.lib.networks import Network
from guard.stores.redis_store import RedisStore

CONFIG = """
[state]
dir = "state"
[store]
url = "{url}"
[firewall]
backend = "dry-run"
reconcile = "1s"
[protect]
reserved = false
own = false
"""

pytestmark = pytest.mark.redis


@pytest.fixture
def fleet(tmp_path, redis_server):
    """Two hosts, as far as one machine can be two."""
    with ExitStack() as stack:
        hosts = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "guard.toml").write_text(CONFIG.format(url=redis_server.url))
            hosts.append(Service("daemon", tmp_path / name / "guard.toml"))
            stack.callback(hosts[-1].stop)
            hosts[-1].start()
        yield redis_server, *hosts


def ask(host, verb, **arguments):
    """What the daemon of `host` answers at its socket."""
    return call(host.config.with_name("state") / "guard.sock", verb, **arguments)


def blocked(host):
    """How many networks the host's firewall had when it was last compared with the ledger."""
    return ask(host, "status")["kernel"].get("present")


def claims(first, number):
    """Claims on addresses of 11.0.0.0/8, of which nobody is protected."""
    now = time.time()
    networks = (Network(4, (11 << 24) + n, 32) for n in range(first, first + number))
    return [Claim(network, "jail:x", "x", now, now + 3600) for network in networks]


def test_what_one_bans_the_other_blocks_at_once(fleet):
    """A ban on one host is in the other's firewall in a fraction of a second; un-bans too."""
    _, one, two = fleet
    took = []
    for number in range(10):
        ask(one, "ban", network=f"198.51.100.{number}")
        begun = time.monotonic()
        said = f"would block 198.51.100.{number} "
        assert eventually(lambda text=said: text in two.said(), 10), two.said()
        took.append(time.monotonic() - begun)
    # Some milliseconds on an idle machine, as benchmarks/fleet.py shows; this one may be busy.
    assert statistics.median(took) < 1.0
    ask(two, "unban", network="198.51.100.3")
    assert eventually(lambda: "would release 198.51.100.3" in one.said(), 10), one.said()


def test_the_other_is_woken_and_need_not_look(fleet):
    """It asks Redis what changed when it is told that something did, not all the time."""
    redis_server, _, two = fleet
    with closing(redis.Redis.from_url(redis_server.url)) as client:

        def looked() -> int:
            return client.info("commandstats").get("cmdstat_xrange", {}).get("calls", 0)

        assert eventually(lambda: blocked(two) is not None, 10)
        before, begun = looked(), time.monotonic()
        time.sleep(3)
        idle = (looked() - before) / (time.monotonic() - begun)
    assert idle < 15  # two daemons, each by its own clock twice a second, and for its door


def test_a_host_that_was_away_has_the_whole_ledger_again(fleet):
    """Thousands of bans and un-bans while it slept, or was dead: afterwards it has what is true."""
    redis_server, one, two = fleet
    with closing(RedisStore(redis_server.url)) as store:
        store.ledger.claim(claims(0, 500), time.time())
        assert eventually(lambda: blocked(one) == blocked(two) == 500, 30)
        two.process.send_signal(signal.SIGSTOP)
        for first in range(500, 3500, 50):
            store.ledger.claim(claims(first, 50), time.time())
        for claim in claims(0, 400):
            store.ledger.withdraw(claim.network, None, time.time())
        two.process.send_signal(signal.SIGCONT)
        assert eventually(lambda: blocked(one) == blocked(two) == 3100, 30)
        assert two.stop(signal.SIGKILL) == -signal.SIGKILL
        store.ledger.claim(claims(5000, 2000), time.time())
        store._link.client.xtrim("guard:{ledger}:changes", maxlen=1, approximate=False)
        two.start()
        assert eventually(lambda: blocked(one) == blocked(two) == 5100, 30)
