"""`guard replay` and the real fail2ban on the same log with the same jails: lines per second.

    python -m benchmarks.replay --records 200000

fail2ban-server looks at nothing older than its findtime, so that the log is a day pressed into
the last half hour, and findtime is longer than that, on both sides. Both say whom they ban, and
it has to be the same. Starting a program is left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import day, fail2ban
from benchmarks.pipes import until_unread
from guard.lib.networks import parse_address

ROUNDS = 3
SPAN = 1800.0
GUARD = [sys.executable, "-m", "guard", "replay", "--json"]


def guard(folder: Path, log: Path) -> fail2ban.Run:
    """`guard replay` of `log` with the jails in `folder`; the best of some rounds."""
    config = folder / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{folder / "state"}"\n[protect]\nreserved = false\nsenders = false\n'
        f'[jails]\npath = ["{folder / "jail.d"}"]\nfilters = ["{folder / "filter.d"}"]\n'
    )
    runs = []
    for _ in range(ROUNDS):
        begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [*GUARD, "-c", str(config), str(log)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
        )
        wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found = map(json.loads, done.stdout.splitlines())
        bans = {(ban["jail"].removeprefix("kumomta-"), ban["address"]) for ban in found}
        runs.append(fail2ban.Run(wall, spent, bans))
    return min(runs, key=lambda one: one.processors)


def counted(bans: fail2ban.Bans) -> fail2ban.Bans:
    """Bans by what Guard counts: fail2ban bans single addresses of IPv6, Guard the /64."""
    networks = ((jail, parse_address(address.partition("/")[0])) for jail, address in bans)
    return {(jail, str(n if n.version == 4 else n.supernet(64))) for jail, n in networks}


def show(name: str, lines: int, run: fail2ban.Run, start: fail2ban.Run) -> tuple[float, float]:
    """Prints and returns lines per second, by the clock and of one processor."""
    wall = lines / max(1e-3, run.wall - start.wall)
    processor = lines / max(1e-3, run.processors - start.processors)
    print(f"{name:<34} {wall:>10,.0f} lines/s  {processor:>10,.0f} lines/cpu-s", flush=True)
    return wall, processor


def compare(home: Path, plain: Path, packed: Path, jails: Sequence[str], records: int) -> bool:
    """Both on the same log with `jails`; whether they ban the same."""
    few, empty, folder = home / "few.jsonl", home / "empty.jsonl", home / f"{len(jails)}"
    fail2ban.lay_out(folder, few, jails)
    start = guard(folder, empty)
    lines = records + len(fail2ban.sentinels())
    print(f"--- {len(jails)} jails, {lines} lines" if len(jails) > 1 else f"--- {jails[0]} alone")
    ours = show("guard replay", lines, guard(folder, plain), start)
    show("guard replay, zstd", lines, guard(folder, packed), start)
    if not fail2ban.installed():
        print("fail2ban is not installed: nothing to compare with")
        return True
    part = few.read_bytes().count(b"\n")
    theirs = fail2ban.run(folder, jails)
    fail2ban.lay_out(home / f"{len(jails)}e", empty, jails)
    idle = fail2ban.run(home / f"{len(jails)}e", jails)
    rates = show(f"fail2ban-server, {part} of the lines", part, theirs, idle)
    for sort, one, other in zip(("by the clock", "of a processor"), ours, rates, strict=True):
        print(f"{'':<34} {one / other:>10.1f} times as many {sort}")
    same = counted(guard(folder, few).bans) == counted(theirs.bans)
    print(f"{'':<34} {len(theirs.bans):>10} bans, {'the same' if same else 'NOT THE SAME'}")
    return same


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory(prefix="guard-replay-") as folder:
        home = Path(folder)
        plain, packed, few = home / "day.jsonl", home / "day.zst", home / "few.jsonl"
        span = day.Span(time.time() - SPAN - 1, SPAN)
        last = b"".join(fail2ban.sentinels())
        for log, number in ((plain, records), (packed, records), (few, records // 5)):
            day.write(str(log), number, seed=1, span=span, last=last)
        (home / "empty.jsonl").write_bytes(last)
        same = [
            compare(home, plain, packed, jails, records) for jails in (fail2ban.JAILS, ("slow",))
        ]
    return 0 if all(same) else 1


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    sys.exit(until_unread(main))
