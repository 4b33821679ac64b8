"""Every benchmark, one after the other, each in a process of its own: `make bench`.

    python -m benchmarks [NAME ...]

Each prints ratios to its peers; figures alone say little on a machine that does other things too.
"""

import subprocess
import sys

from benchmarks.pipes import until_unread

BENCHMARKS = ("smtp", "counting", "replay", "firewall", "lag", "lists", "webhook", "fleet")


def main(names: list[str]) -> int:
    """Runs those named, or all; returns how many failed."""
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 64
    failed = 0
    for number, name in enumerate(names or BENCHMARKS, 1):
        print(f"\n== {number}/{len(names or BENCHMARKS)} {name}", flush=True)
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(until_unread(lambda: main(sys.argv[1:])))
