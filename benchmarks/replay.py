"""`guard replay` and fail2ban-regex on the same day of log: lines per second of processor time.

    python -m benchmarks.replay --records 200000

Guard runs every shipped jail at once. fail2ban-regex reads the log once for one filter, and counts
and bans nobody; a fail2ban with as many jails reads it as many times.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import day

FILTERS = Path(__file__).parent.parent / "filter.d"
ROUNDS = 3


def processor_time(command: list[str]) -> float:
    """Seconds that the command and its children computed; the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, spent)
    return best


def measure(name: str, command: list[str], log: Path, empty: Path, records: int) -> float:
    """Prints and returns lines per second, the start of the program left out."""
    start = processor_time([*command, str(empty)])
    rate = records / (processor_time([*command, str(log)]) - start)
    print(f"{name:<34} {rate:>10,.0f} lines/s  (start {start:.2f} s)")
    return rate


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    records = parser.parse_args().records
    with tempfile.TemporaryDirectory(prefix="guard-replay-") as folder:
        home = Path(folder)
        plain, packed, empty = home / "day.jsonl", home / "day.zst", home / "empty"
        day.write(str(plain), records, seed=1)
        day.write(str(packed), records, seed=1)
        empty.touch()
        guard = [sys.executable, "-m", "guard", "replay", "--json"]
        ours = measure("guard replay, 5 jails", guard, plain, empty, records)
        measure("guard replay, 5 jails, zstd", guard, packed, empty, records)
        if shutil.which("fail2ban-regex") is None:
            print("fail2ban is not installed: nothing to compare with")
            return 0
        shutil.copytree(FILTERS, home / "filter.d")
        few = home / "few.jsonl"
        few.write_bytes(b"".join(plain.read_bytes().splitlines(keepends=True)[: records // 4]))
        for mode in ("relay", "aggressive"):
            command = ["fail2ban-regex", "-c", folder, "-L", "1", "--print-no-missed"]
            script = home / f"{mode}.sh"
            script.write_text(f'exec {" ".join(command)} "$1" "kumomta[mode={mode}]"\n')
            shell = ["sh", str(script)]
            theirs = measure(f"fail2ban-regex, {mode}", shell, few, empty, records // 4)
            print(f"{'':<34} {ours / theirs:>10.1f} times as many")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("COLUMNS", "120")
    sys.exit(main())
