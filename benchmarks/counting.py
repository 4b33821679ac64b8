"""How fast rejections become decisions, and what an address costs.

    python -m benchmarks.counting [--rejections 500000]
    python -m benchmarks.counting --soak     ten million of a million addresses, and memory

The whole way from `Rejection` to ban, on one core: pipeline, counters, ledger; in files, and in a
redis-server of its own on loopback. CPU seconds are those of this process (with Redis, those
of redis-server are beside them); wall seconds are what an operator would see. Traffic is even over
all addresses, 100 rejections a second of their own time, so that of 1,000 addresses each is banned
again and again, and of 1,000,000 hardly any.
"""

from __future__ import annotations

import argparse
import gc
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from guard.events import Kind, Rejection, Window
from guard.jails.jail import Jail
from guard.lib.networks import Network
from guard.pipeline import Pipeline
from guard.stores.embedded import EmbeddedStore
from guard.stores.redis_store import RedisStore

BATCH = 5000
ONE = [Jail(name="relay", filter="relay", kinds=frozenset([Kind.RELAY_DENIED]), bantime=3600.0)]
TWO = [
    *ONE,
    Jail(
        name="slow",
        filter="slow",
        kinds=frozenset([Kind.RELAY_DENIED]),
        window=Window(15, 3 * 86400.0),
        bantime=86400.0,
    ),
]


class Nobody:
    """A protection of nobody."""

    def protects(self, network: Network) -> str | None:
        """Nobody is."""
        return None


class Figure(NamedTuple):
    """What one run took."""

    cpu: float
    server: float
    wall: float
    bans: int


def traffic(number: int, addresses: int, *, once: bool = False) -> list[list[Rejection]]:
    """`number` rejections in batches; with `once` each address comes one time, all in 100 s."""
    rnd = random.Random(7)
    values = rnd.sample(range(1 << 24, 224 << 24), addresses)
    texts = [f"{v >> 24}.{v >> 16 & 255}.{v >> 8 & 255}.{v & 255}" for v in values]
    chosen = texts if once else rnd.choices(texts, k=number)
    pace = number / 100 if once else 100
    heard = [
        Rejection(1_757_675_281 + index / pace, text, Kind.RELAY_DENIED)
        for index, text in enumerate(chosen)
    ]
    return [heard[start : start + BATCH] for start in range(0, len(heard), BATCH)]


def run(
    store: EmbeddedStore | RedisStore, jails: Sequence[Jail], batches: Sequence[list[Rejection]]
) -> Figure:
    """Counts all batches in `store`."""
    pipeline = Pipeline(jails, store.counters, store.ledger, Nobody())
    gc.collect()
    gc.freeze()  # what the generator made is not to be looked through again and again
    server = _server_cpu(store)
    cpu, wall, bans = time.process_time(), time.perf_counter(), 0
    for batch in batches:
        bans += len(pipeline.hear(batch, None))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    server = _server_cpu(store) - server
    gc.unfreeze()
    return Figure(cpu, server, wall, bans)


def _server_cpu(store: EmbeddedStore | RedisStore) -> float:
    if isinstance(store, EmbeddedStore):
        return 0.0
    info = store.counters.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


@contextmanager
def embedded() -> Iterator[EmbeddedStore]:
    """A store in files."""
    with tempfile.TemporaryDirectory() as folder:
        store = EmbeddedStore(Path(folder))
        yield store
        store.close()


@contextmanager
def redis() -> Iterator[RedisStore]:
    """A store in a redis-server of its own, which writes nothing to disk."""
    with tempfile.TemporaryDirectory() as folder:
        socket = Path(folder) / "redis.sock"
        server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", ""],
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        try:
            while not socket.exists():
                time.sleep(0.01)
            store = RedisStore(f"unix://{socket}?db=0")
            yield store
            store.close()
        finally:
            server.terminate()
            server.wait()


def memory() -> int:
    """Bytes of this process that lie in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


STORES = {"embedded": embedded, "redis": redis}


def speed(name: str, jails: Sequence[Jail], addresses: int, number: int) -> None:
    """Prints one line of the first table."""
    batches = traffic(number, addresses)
    with STORES[name]() as store:
        figure = run(store, jails, batches)
    used = f" (redis-server {figure.server:.2f} s)" if figure.server else ""
    print(
        f"{name:9} {len(jails):5} {addresses:9} {number / figure.cpu:10,.0f} "
        f"{number / figure.wall:9,.0f} {figure.bans:7}{used}"
    )


def weigh(name: str, jails: Sequence[Jail]) -> None:
    """Prints one line of the second table. In a process of its own: freed memory stays with it."""
    batches = traffic(1_000_000, 1_000_000, once=True)
    with STORES[name]() as store:
        info = store.counters.info if isinstance(store, RedisStore) else None
        before = info("memory")["used_memory"] if info else memory()
        run(store, jails, batches)
        after = info("memory")["used_memory"] if info else memory()
        print(f"{name:9} {len(jails):5} {(after - before) / 1e6:26.0f}")


def soak() -> None:
    """Ten million rejections of a million addresses in a day of theirs: memory must level off."""
    rnd = random.Random(7)
    texts = [
        f"{rnd.randrange(1, 224)}.{v >> 16}.{v >> 8 & 255}.{v & 255}" for v in range(1_000_000)
    ]
    begun, now = time.process_time(), 1_757_675_281.0
    with embedded() as store:
        pipeline = Pipeline(TWO, store.counters, store.ledger, Nobody())
        gc.freeze()
        print(f"{'rejections':>10} {'per CPU-s':>10} {'windows':>9} {'bans':>8} {'MB':>6}")
        for million in range(1, 11):
            for _ in range(1_000_000 // BATCH):
                chosen = rnd.choices(texts, k=BATCH)
                heard = [
                    Rejection(now + i * 0.00864, t, Kind.RELAY_DENIED) for i, t in enumerate(chosen)
                ]
                now += BATCH * 0.00864
                pipeline.hear(heard, now)
            print(
                f"{million * 1_000_000:10} {million * 1e6 / (time.process_time() - begun):10,.0f} "
                f"{store.counters.tracked():9} {len(store.ledger.claims(now)):8} "
                f"{memory() / 1e6:6.0f}",
                flush=True,
            )


def main() -> None:
    """Prints both tables."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.counting")
    options.add_argument("--rejections", type=int, default=500_000)
    options.add_argument("--soak", action="store_true")
    options.add_argument("--weigh", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.soak:
        soak()
        return
    if given.weigh:
        weigh(given.weigh[0], ONE if given.weigh[1] == "1" else TWO)
        return
    names = [name for name in STORES if name != "redis" or shutil.which("redis-server")]
    print(f"{'store':9} {'jails':>5} {'addresses':>9} {'per CPU-s':>10} {'per s':>9} {'bans':>7}")
    for name in names:
        for jails in (ONE, TWO):
            for addresses in (1_000, 20_000, 1_000_000):
                speed(name, jails, addresses, given.rejections)
    print(f"\n{'store':9} {'jails':>5} {'bytes per tracked address':>26}", flush=True)
    for name in names:
        for number in ("1", "2"):
            command = [sys.executable, "-m", "benchmarks.counting", "--weigh", name, number]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
