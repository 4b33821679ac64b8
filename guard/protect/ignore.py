"""fail2ban's `ignorecommand`: a program of the operator's that says who must not be banned.

jail.conf(5): exit status 0 is "ignore", 1 is "ban". The command line is split once, without a
shell; `<ip>` and `<family>` are replaced in the words. Where the program cannot be run, is killed
or does not answer in time, nobody knows, and the address is spared: it will offend again.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
from collections import OrderedDict
from collections.abc import Callable, Sequence

from guard.lib.networks import Network

log = logging.getLogger(__name__)

TIMEOUT = 5.0
KEPT, MOST_KEPT = 300.0, 10_000
# A program that hangs holds up all counting: after so many failures in a row it is left alone.
FAILURES, REST = 3, 60.0

Run = Callable[[Sequence[str], float], int | None]
"""(words, timeout) -> exit status, or None when there is none."""


def run(words: Sequence[str], timeout: float) -> int | None:
    """Runs the program with no input, its output discarded."""
    quiet = subprocess.DEVNULL
    try:
        # A session of its own, so that a script is killed with whatever it started.
        with subprocess.Popen(
            words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        ) as process:
            status = _status(process, timeout)
    except (OSError, ValueError) as error:
        log.error("ignorecommand: %s", error)
        return None
    if status is None:
        log.error("ignorecommand %s did not end within %g seconds", words[0], timeout)
    elif status not in (0, 1):
        log.error("ignorecommand %s ended with status %d", words[0], status)
    return status if status in (0, 1) else None


def _status(process: subprocess.Popen[bytes], timeout: float) -> int | None:
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return None


class IgnoreCommand:
    """One jail's command, its answers kept for `kept` seconds."""

    def __init__(
        self, line: str, *, timeout: float = TIMEOUT, kept: float = KEPT, run: Run = run
    ) -> None:
        """Raises ValueError for a line with an open quote, or an empty one."""
        self._words = shlex.split(line)
        if not self._words:
            raise ValueError("the command is empty")
        self._timeout, self._kept, self._run = timeout, kept, run
        self._answers: OrderedDict[Network, tuple[float, bool]] = OrderedDict()
        self._failures, self._failed = 0, float("-inf")

    def ignores(self, network: Network, now: float) -> bool:
        """Whether `network` is spared. Waits for the program, up to the timeout."""
        known = self._answers.get(network)
        if known is not None and known[0] <= now < known[0] + self._kept:
            return known[1]
        if self._failures >= FAILURES and self._failed <= now < self._failed + REST:
            return True
        status = self._run(self._command(network), self._timeout)
        if status is None:
            self._failures, self._failed = self._failures + 1, now
            return True
        self._failures = 0
        self._answers.pop(network, None)
        self._answers[network] = (now, status == 0)
        if len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)
        return status == 0

    def _command(self, network: Network) -> list[str]:
        # The values are our own canonical text: digits, letters, dots, colons, a slash.
        values = {"<ip>": str(network), "<family>": f"inet{network.version}"}
        words = []
        for word in self._words:
            for tag, value in values.items():
                word = word.replace(tag, value)  # noqa: PLW2901
            words.append(word)
        return words
