"""`make soak`: long forms of tests, races, and memory, at full length. Takes half an hour.

GUARD_SOAK is the number of cases that each of them then tries, where it tries some thousands
otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.pipes import until_unread

CASES = "100000"
TESTS = (
    "tests/filter_d/test_hostile.py",
    "tests/filter_d/test_guard_events.py",
    "tests/mail/test_soak.py",
    "tests/stores/test_crash.py",
    "tests/stores/test_machine.py",
    "tests/mail/test_large_queue.py",
    "tests/test_crowd_service.py",
    "tests/test_attack.py",
)


def main() -> int:
    """Runs them, the race over a million records by each way in, and ten million rejections of
    a million addresses with their memory plotted; 0 when all is well."""
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--durations=5", *TESTS]
    failed = subprocess.run(
        command, env={**os.environ, "GUARD_SOAK": CASES}, check=False
    ).returncode
    for more in (["once"], ["counting", "--soak"]):
        name, *options = more
        ended = subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False)
        failed = ended.returncode or failed
    return failed


if __name__ == "__main__":
    sys.exit(until_unread(main))
