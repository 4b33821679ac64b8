"""Days of three hosts that share a Redis and a key, on a clock that the test turns."""

import random
import threading
from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from abuseipdb_host import claim
from abuseipdb_server import DAY, endpoints

from guard.events import Kind

DAYS, A_DAY = 6, 60
STEP = 1800.0


def turn(hosts):
    """All hosts at once, each in a thread."""
    faults = []

    def run(host):
        try:
            host.run()
        except BaseException as error:
            faults.append(error)
            raise

    threads = [threading.Thread(target=run, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults


@pytest.mark.redis
@pytest.mark.parametrize("seed", [1, 2])
def test_every_offender_is_told_and_no_rule_is_broken(hosts, server, clock, redis_url, seed):
    """Each offender at least once, never twice in 15 minutes, never beyond a quota; all is told
    in the end, and the server never had to refuse anything."""
    chance = random.Random(seed)
    server.limits |= {"report": 40, "bulk-report": 2}
    fleet = [
        hosts(f"host{n}", store=redis_url, per_day=40, bulk_per_day=2, bulk_from=10)
        for n in range(3)
    ]
    bans = defaultdict(list)
    begun = clock.now
    while clock.now < begun + DAYS * DAY:
        for _ in range(int(A_DAY * STEP / DAY * chance.choice((0, 1, 1, 4)))):
            address = f"185.4.{chance.randrange(4)}.{chance.randrange(60)}"
            # A few are banned by two hosts in the same moment, as when Redis was gone.
            for host in chance.sample(fleet, chance.choice((1, 1, 1, 2))):
                host.hear(address, *[chance.choice((Kind.RELAY_DENIED, Kind.NON_SMTP))] * 5)
                strikes = 1 + len(bans[address])
                host.ban(claim(address, now=clock.now, strikes=strikes))
            bans[address].append(clock.now)
        turn(fleet)
        clock.now += chance.choice((60.0, STEP / 2, STEP))
    for _ in range(int(3 * DAY / STEP)):
        turn(fleet)
        clock.now += STEP
    assert [host.counts()["waiting"] for host in fleet] == [0, 0, 0]
    assert {report.address for report in server.saved} == set(bans)
    told = defaultdict(list)
    for report in server.saved:
        told[report.address].append(report.time)
    for address, times in told.items():
        assert all(b - a >= 900 for a, b in pairwise(times)), address
        assert times[0] >= bans[address][0]
    assert server.overruns == {}
    by_day = Counter(int(report.time // DAY) for report in server.saved if report.how == "report")
    assert max(by_day.values()) == 40
    assert endpoints(server)["bulk-report"] > 0
    counts = sum((Counter(host.counts()) for host in fleet), Counter())
    assert counts["sent"] == len(server.saved)
    assert not counts["duplicates"] + counts["refused"] + counts["failures"]
