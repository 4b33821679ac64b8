"""`make soak`: the tests that have a longer form, at full length. Takes some minutes.

GUARD_SOAK is the number of cases that each of them then tries, where it tries some thousands
otherwise.
"""

from __future__ import annotations

import os
import subprocess
import sys

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
    """Runs them and returns pytest's code."""
    command = [sys.executable, "-m", "pytest", "-n", "auto", "--durations=5", *TESTS]
    return subprocess.run(command, env={**os.environ, "GUARD_SOAK": CASES}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
