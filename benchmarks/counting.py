"""How fast rejections become decisions, and what an address costs.

    python -m benchmarks.counting [--rejections 500000] [--rounds 3]
    python -m benchmarks.counting --soak     ten million of a million addresses, memory plotted

The whole way from `Rejection` to ban, on one core: pipeline, counters, ledger; in files, and in a
redis-server of its own on loopback. CPU seconds are those of this process (with Redis, those
of redis-server are beside them); wall seconds are what an operator would see. Rejections come 100
a second of their own time, so that of 1,000 addresses each is banned again and again, and of
1,000,000 hardly any.

Two loads, for two questions. `even` has batches of 5,000 rejections of any addresses. A store is
asked once for each address of a batch: of 1,000 where there are no more, and of nearly 5,000 where
there are 1,000,000. So a rejection may cost less where there are few addresses, without a store
being slower for what it holds. That is what `in turn` shows: a batch has one rejection of each of
1,000 addresses, however many there are.
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
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.pipes import until_unread
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


FEW = 1_000


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


def even(number: int, addresses: int) -> Iterator[list[int]]:
    """Indices of any of `addresses`, in batches."""
    rnd = random.Random(7)
    for start in range(0, number, BATCH):
        yield rnd.choices(range(addresses), k=min(BATCH, number - start))


def in_turn(number: int, addresses: int) -> Iterator[list[int]]:
    """Batches of the next FEW of `addresses`, in which none comes twice."""
    for start in range(0, number, FEW):
        yield [index % addresses for index in range(start, min(number, start + FEW))]


LOADS = {"even": (even, (FEW, 20_000, 1_000_000)), "in turn": (in_turn, (FEW, 1_000_000))}


def traffic(
    batches: Iterable[list[int]], addresses: int, pace: float = 100.0
) -> Iterator[list[Rejection]]:
    """Rejections of `addresses` by their indices, `pace` a second of their own time.

    Each batch is made when it is asked for, as a source makes it: what was made long before is no
    more at hand for the processor, and that would be paid for each address, not each rejection.
    """
    # An array is nothing that the garbage collector looks through.
    values = array("I", random.Random(7).sample(range(1 << 24, 224 << 24), addresses))
    heard = 0
    for batch in batches:
        yield [
            Rejection(
                1_757_675_281 + number / pace,
                str(Network(4, values[index], 32)),
                Kind.RELAY_DENIED,
            )
            for number, index in enumerate(batch, heard)
        ]
        heard += len(batch)


def run(
    store: EmbeddedStore | RedisStore, jails: Sequence[Jail], batches: Iterable[list[Rejection]]
) -> Figure:
    """Counts all batches in `store`."""
    pipeline = Pipeline(jails, store.counters, store.ledger, Nobody())
    gc.collect()
    gc.freeze()  # what the generator made is not to be looked through again and again
    server = _server_cpu(store)
    cpu, wall, bans = 0.0, 0.0, 0
    for batch in batches:
        cpu, wall = cpu - time.process_time(), wall - time.perf_counter()
        bans += len(pipeline.hear(batch, None))
        cpu, wall = cpu + time.process_time(), wall + time.perf_counter()
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


def speed(name: str, number: int, rounds: int) -> None:
    """Prints the lines of one store: the best of `rounds`, which take turns."""
    figures: dict[tuple[str, int, int], list[Figure]] = {}
    for _ in range(rounds):
        for load, (batches, sizes) in LOADS.items():
            for jails in (ONE, TWO):
                for addresses in sizes:
                    with STORES[name]() as store:
                        figure = run(store, jails, traffic(batches(number, addresses), addresses))
                    figures.setdefault((load, len(jails), addresses), []).append(figure)
    for (load, count, addresses), found in figures.items():
        cpu, wall = min(f.cpu for f in found), min(f.wall for f in found)
        server = min(f.server for f in found)
        few = min(f.cpu + f.server for f in figures[load, count, FEW])
        ratio = min(f.cpu + f.server for f in found) / few
        used = f"  redis-server {server / number * 1e6:.1f} us each" if server else ""
        print(
            f"{name:9} {load:8} {count:5} {addresses:9} {number / cpu:10,.0f} "
            f"{number / wall:9,.0f} {ratio:8.2f}x {found[0].bans:7}{used}",
            flush=True,
        )


def weigh(name: str, jails: Sequence[Jail]) -> None:
    """Prints one line of the second table. In a process of its own: freed memory stays with it."""
    number = 1_000_000
    batches = traffic(in_turn(number, number), number, pace=number / 100)
    with STORES[name]() as store:
        info = store.counters.info if isinstance(store, RedisStore) else None
        before = info("memory")["used_memory"] if info else memory()
        run(store, jails, batches)
        after = info("memory")["used_memory"] if info else memory()
        print(f"{name:9} {len(jails):5} {(after - before) / 1e6:26.0f}")


class Row(NamedTuple):
    """How a soak stands."""

    rejections: int
    cpu: float
    tracked: int
    bans: int
    memory: int


def soak(rejections: int = 10_000_000, addresses: int = 1_000_000) -> Iterator[Row]:
    """A day of rejections in ten steps: each address comes again and again, ten times in all."""
    rnd = random.Random(7)
    texts = [
        f"{rnd.randrange(1, 224)}.{v >> 16}.{v >> 8 & 255}.{v & 255}" for v in range(addresses)
    ]
    begun, now, pace = time.process_time(), 1_757_675_281.0, 86400 / rejections
    with embedded() as store:
        pipeline = Pipeline(TWO, store.counters, store.ledger, Nobody())
        gc.freeze()
        base, heard = memory(), 0
        for _ in range(10):
            for _ in range(0, rejections // 10, BATCH):
                chosen = rnd.choices(texts, k=BATCH)
                batch = [
                    Rejection(now + i * pace, t, Kind.RELAY_DENIED) for i, t in enumerate(chosen)
                ]
                now += BATCH * pace
                heard += BATCH
                pipeline.hear(batch, now)
            cpu = time.process_time() - begun
            tracked, bans = store.counters.tracked(), store.ledger.size(now)
            yield Row(heard, cpu, tracked, bans, memory() - base)
        gc.unfreeze()


def print_soak() -> None:
    """Prints a line for each step, memory as a number and as a bar of 10 MB a stroke."""
    print(
        f"{'rejections':>10} {'per CPU-s':>10} {'addresses':>9} {'bans':>7} {'bytes each':>10}   MB"
    )
    for row in soak():
        size = row.memory / 1e6
        print(
            f"{row.rejections:10} {row.rejections / row.cpu:10,.0f} {row.tracked:9} {row.bans:7} "
            f"{row.memory / max(1, row.tracked):10.0f} {size:4.0f} {'#' * round(size / 10)}",
            flush=True,
        )


def main() -> None:
    """Prints both tables."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.counting")
    options.add_argument("--rejections", type=int, default=500_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--soak", action="store_true")
    options.add_argument("--weigh", nargs=2, help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.soak:
        print_soak()
        return
    if given.weigh:
        weigh(given.weigh[0], ONE if given.weigh[1] == "1" else TWO)
        return
    names = [name for name in STORES if name != "redis" or shutil.which("redis-server")]
    print(
        f"{'store':9} {'load':8} {'jails':>5} {'addresses':>9} {'per CPU-s':>10} {'per s':>9} "
        f"{'to 1,000':>9} {'bans':>7}",
        flush=True,
    )
    for name in names:
        speed(name, given.rejections, given.rounds)
    print(f"\n{'store':9} {'jails':>5} {'bytes per tracked address':>26}", flush=True)
    for name in names:
        for number in ("1", "2"):
            command = [sys.executable, "-m", "benchmarks.counting", "--weigh", name, number]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    sys.exit(until_unread(main))
