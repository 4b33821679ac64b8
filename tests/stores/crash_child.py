"""Does to a store what a seed says, and prints each step's number when it is done; to be killed.

crash_child.py STORE SEED FIRST      STORE is a directory, or the URL of Redis
"""

import random
import sys
from pathlib import Path

from guard.events import Claim, Offence, Window
from guard.lib.networks import parse_network
from guard.stores import tables
from guard.stores.embedded import EmbeddedStore
from guard.stores.redis_store import RedisStore

WINDOWS = {"relay": Window(3, 600.0), "slow": Window(8, 86400.0)}
NETWORKS = [parse_network(f"192.0.2.{n}") for n in range(30)]
START = 1_757_675_281.25
SOURCES = ["jail:relay", "jail:slow", "manual"]


def time_of(step):
    """What the clock says at a step."""
    return START + 20.0 * step


def perform(subject, seed, step):
    """Step `step` of the history `seed`, on whatever has the methods of counters and ledger."""
    rnd, now = random.Random(f"{seed}:{step}"), time_of(step)
    choice, network = rnd.randrange(10), rnd.choice(NETWORKS)
    if choice < 5:
        offences = [
            Offence(rnd.choice(["relay", "slow"]), rnd.choice(NETWORKS), now - rnd.random() * 30)
            for _ in range(rnd.randrange(1, 40))
        ]
        subject.count(offences, WINDOWS)
    elif choice < 8:
        until = rnd.choice([None, now + 100.0, now + 5000.0])
        subject.claim(Claim(network, rnd.choice(SOURCES), "x", now, until), now)
    elif choice == 8:
        subject.withdraw(network, rnd.choice([None, *SOURCES]), now)
    elif rnd.random() < 0.5:
        subject.forget(network)
    else:
        chosen = rnd.sample(NETWORKS, rnd.randrange(len(NETWORKS)))
        claims = [Claim(n, "feed:x", "listed", now, None) for n in chosen]
        subject.replace("feed:x", claims, now)


class Subject:
    """A store with the model's methods."""

    def __init__(self, store):
        self.count, self.forget = store.counters.count, store.counters.forget
        self.withdraw, self.replace = store.ledger.withdraw, store.ledger.replace
        self.claim = lambda claim, now: store.ledger.claim([claim], now)


def opened(place):
    """The store at `place`; one at `crowded` counts as if there were very many addresses."""
    if place.endswith("crowded"):
        tables.MANY = -1
    return RedisStore(place) if "://" in place else EmbeddedStore(Path(place))


def main(place, seed, first):
    subject, step = Subject(opened(place)), int(first)
    print("ready", flush=True)
    while True:
        perform(subject, seed, step)
        print(step, flush=True)
        step += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
