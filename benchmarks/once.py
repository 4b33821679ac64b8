"""Writers and daemons in a race, both killed all the time: each record is counted exactly once.

    python -m benchmarks.once --records 1000000 --seconds 60
    python -m benchmarks.once log stream --records 100000 --kills 20

For each way in, a process writes numbered rejections and another runs a daemon over them, with the
embedded store or a redis-server of its own. All of them are ended with SIGKILL again and again. In
the end each record that was written has to be counted once, in the windows of a jail that never
bans; a jail of five has to have banned whoever was refused five times, in one strike; and a jail
that counts bans has to have counted each ban once. The writers are benchmarks/once_writers.py.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.once_writers import AT, WAYS, address_of, free_port, written
from benchmarks.pipes import until_unread
from guard.chronicle import Chronicle
from guard.control import NoDaemon, call
from guard.daemon import Daemon
from guard.events import Claim, Kind, Window
from guard.jails.jail import Jail
from guard.lib.clock import now
from guard.lib.networks import Network, parse_network
from guard.operations import Operations
from guard.parts import Chore, EngineParts, Parts
from guard.pipeline import Pipeline
from guard.roles import GuardError, Source
from guard.sources.make import make_source
from guard.sources.settings import KumomtaLogSettings, LogSettings, WebhookSettings
from guard.sources.stream import RedisStream
from guard.stores.open import Store, open_store
from guard.stores.settings import StoreSettings

LONG = 1e10  # seconds: every record stays in its window
FOREVER = Window(10**6, LONG)
FIVE = 5
KINDS = frozenset([Kind.RELAY_DENIED])
JAILS = (
    Jail(name="all", filter="numbers", kinds=KINDS, window=FOREVER),
    Jail(name="five", filter="numbers", kinds=KINDS, window=Window(FIVE, LONG), bantime=None),
    Jail(name="bans", filter="recidive", window=FOREVER),
)
FILTER = r"""[Definition]
failregex = ^\s*refused <ADDR> number \d+$
kinds = relay_denied
datepattern = {^LN-BEG}EPOCH
"""


class Nobody:
    """A protection of nobody, and a mirror into nothing."""

    def protects(self, network: Network) -> str | None:
        """The role's."""
        return None

    def start(self, now: float) -> None:
        """The role's."""

    step = reconcile = start

    def hurry(self, claims: Sequence[Claim], now: float) -> None:
        """The role's."""

    def hurried(self) -> None:
        """The role's."""


def source_of(way: str, home: Path, url: str | None) -> Source:
    """The source that hears what the writers of `way` write."""
    if way == "stream":
        assert url is not None
        return RedisStream(url, consumer="one", abandoned_ms=2000)
    settings: LogSettings | KumomtaLogSettings | WebhookSettings
    if way == "log":
        settings = LogSettings(type="log", path=home / "log" / "numbers.log", filter="numbers")
    elif way == "kumomta-log":
        settings = KumomtaLogSettings(type="kumomta-log", path=home / "log", look_back=1e9)
    else:
        settings = WebhookSettings(type="webhook", socket=home / "hook.sock")
    return make_source(settings, home / "state", [home / "filter.d"])


def count(way: str, home: Path, url: str | None) -> None:
    """The daemon's process: everything as in `guard daemon`, but for the firewall."""
    store = open_store(StoreSettings(url=url), home / "state", counting=True)
    pipeline = Pipeline(JAILS, store.counters, store.ledger, Nobody())
    chronicle = Chronicle(store.ledger, ())
    engine = EngineParts(
        operations=Operations(pipeline, store.counters, store.ledger, Nobody(), chronicle),
        mirror=Nobody(),
        control=home / "control",
        reconcile=LONG,
        chronicle=chronicle,
        status=lambda _: {"owed": getattr(store.counters, "owed", 0)},
        chores=[Chore("store", 0.2, lambda _: pipeline.catch_up)],
    )
    parts = Parts(sources=[source_of(way, home, url)], engine=engine, close=store.close)
    asyncio.run(Daemon(parts, now).run())


class Redis:
    """A redis-server of our own, where the way in or the store needs one."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; what it said was done is on disk."""
        words = f"--port {self._port} --bind 127.0.0.1 --appendonly yes --appendfsync always"
        self._process = subprocess.Popen(
            ["redis-server", *words.split(), "--save", "", "--dir", str(self._folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """As a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


class Race:
    """One way in: its processes, and what comes of them."""

    def __init__(self, way: str, home: Path, *, shared: bool) -> None:
        self.way, self.home, self.kills = way, home, 0
        for folder in ("log", "state", "filter.d", "redis"):
            (home / folder).mkdir()
        (home / "filter.d" / "numbers.conf").write_text(FILTER)
        self._redis = Redis(home / "redis") if shared or way == "stream" else None
        self._url = self._redis.url if self._redis else None
        self._errors = (home / "errors").open("ab")

    def _run(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *words, self.way, "--home", str(self.home)]
        command += ["--url", self._url] if self._url else []
        return subprocess.Popen(command, stderr=self._errors, cwd=Path(__file__).parent.parent)

    def run(self, records: int, seconds: float, kills: int) -> None:
        """Writes, counts and kills until all is written and counted."""
        rng, first = Random(7), time.monotonic()
        writer = ("benchmarks.once_writers", f"--records={records}", f"--rate={records / seconds}")
        running: dict[str, subprocess.Popen[bytes]] = {}
        if self._redis is not None:
            self._redis.start()
        try:
            running["counter"] = self._run("benchmarks.once", "--count")
            # A log that was never followed begins with the file that it is then.
            while self._status() is None and time.monotonic() < first + 60:
                time.sleep(0.1)
            running["writer"] = self._run(*writer)
            while running["writer"].poll() != 0 or time.monotonic() < first + seconds:
                time.sleep(rng.uniform(0.2, 1.8) * seconds / max(1, kills))
                self._kill(running, rng.random(), writer)
            self._finish(running["counter"])
        finally:
            for process in running.values():
                process.kill()
                process.wait()
            self._errors.close()

    def _kill(
        self, running: dict[str, subprocess.Popen[bytes]], chance: float, writer: tuple[str, ...]
    ) -> None:
        """Ends one of the processes, and starts it again."""
        if chance < 0.25 and self._redis is not None:
            self._redis.kill()
            time.sleep(chance)
            self._redis.start()
        elif chance < 0.65:
            running["counter"].kill()
            running["counter"].wait()
            running["counter"] = self._run("benchmarks.once", "--count")
        elif running["writer"].poll() != 0:
            running["writer"].kill()
            running["writer"].wait()
            running["writer"] = self._run(*writer)
        else:
            return
        self.kills += 1
        for name, words in (("counter", ("benchmarks.once", "--count")), ("writer", writer)):
            if running[name].poll() not in (None, 0):  # Redis was not there when it began
                running[name] = self._run(*words)

    def _finish(self, counter: subprocess.Popen[bytes]) -> None:
        """Waits until nothing is left to hear, then ends the daemon as an operator would."""
        quiet, deadline = 0, time.monotonic() + 300
        while quiet < 10 and time.monotonic() < deadline:
            if counter.poll() is not None:
                counter = self._run("benchmarks.once", "--count")
            time.sleep(0.2)
            if (status := self._status()) is None:
                continue
            left = status["owed"] + sum(row.get("behind", 0) for row in status["source"])
            quiet = 0 if left or self._waiting() else quiet + 1
        counter.send_signal(signal.SIGTERM)
        counter.wait(30)

    def _status(self) -> Any:
        """What the daemon says; None while there is none."""
        try:
            return call(self.home / "control", "status")
        except (NoDaemon, GuardError, OSError):
            return None

    def _waiting(self) -> int:
        if self.way != "stream":
            return 0
        import redis

        assert self._url is not None
        with redis.Redis.from_url(self._url) as client:
            return int(client.xlen("guard:rejections"))

    @contextmanager
    def store(self) -> Iterator[Store]:
        """What was counted."""
        store = open_store(StoreSettings(url=self._url), self.home / "state", counting=True)
        with closing(store):
            yield store

    def faults(self) -> list[str]:
        """What is not as it has to be."""
        expected = Counter(written(self.way, self.home))
        refused = Counter(map(address_of, expected.elements()))
        found: Counter[int] = Counter()
        recounted: list[str] = []
        with self.store() as store:
            claims = {claim.network: claim for claim in store.ledger.claims(AT)}
            for address, times in refused.items():
                network = parse_network(address)
                held = store.counters.counted(network)
                found.update(int(o.time) - AT for o in held if o.jail == "all")
                times_of_bans = [int(o.time) - AT for o in held if o.jail == "bans"]
                bans = len(times_of_bans)
                claim = claims.pop(network, None)
                if bans != (times >= FIVE) or (claim.strikes if claim else 0) != bans:
                    recounted.append(f"{network}: {claim}, bans counted at {times_of_bans}")
        lost, doubled = expected - found, found - expected
        faults = []
        if lost:
            faults.append(f"{lost.total()} lost: {_ranges(lost)}")
        if doubled:
            faults.append(f"{doubled.total()} too many: {_ranges(doubled)}")
        faults += recounted[:3] + [f"nobody did this: {claim}" for claim in [*claims.values()][:3]]
        return faults

    def close(self) -> None:
        """Ends Redis."""
        if self._redis is not None:
            self._redis.kill()


def _ranges(numbers: Iterable[int]) -> str:
    """Numbers in a few words: `250-499, 1000-1249`."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{first}-{last}" for first, last in found[:5])


def race(
    way: str,
    *,
    records: int,
    seconds: float,
    kills: int,
    shared: bool = False,
    say: Callable[[str], object] = print,
) -> int:
    """Runs one race and tells of it; returns 0 when each record counted once."""
    with tempfile.TemporaryDirectory(prefix="guard-once-") as home:
        run = Race(way, Path(home), shared=shared)
        with closing(run):
            begun = time.monotonic()
            run.run(records, seconds, kills)
            took = time.monotonic() - begun
            faults = run.faults()
        where = "Redis" if shared or way == "stream" else "embedded"
        say(f"{way}, {where}: {records} records, {run.kills} kills, {took:.0f} s: "
            f"{'; '.join(faults) or 'each counted once'}")  # fmt: skip
        errors = (Path(home) / "errors").read_text(errors="replace")
        if "Traceback" in errors:
            say(errors[-3000:])
        return 1 if faults else 0


def main() -> int:
    """The command line, also of the counting process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.once", description=__doc__)
    parser.add_argument("ways", nargs="*", metavar="WAY", help=" ".join(WAYS))
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=60.0, help="to write them in")
    parser.add_argument("--kills", type=int, default=30, help="about so many, per way")
    parser.add_argument("--redis", action="store_true", help="count in Redis")
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.count:
        try:
            count(chosen.ways[0], chosen.home, chosen.url)
        except GuardError as error:  # Redis is being killed
            print(error, file=sys.stderr)
            return 69
        return 0
    ways = [(way, chosen.redis) for way in chosen.ways or WAYS]
    if not chosen.ways:
        ways.append(("log", True))
    return max(
        race(
            way,
            records=chosen.records,
            seconds=chosen.seconds,
            kills=chosen.kills,
            shared=shared,
        )
        for way, shared in ways
    )


if __name__ == "__main__":
    sys.exit(until_unread(main))
