"""A firewall of the operator's own: a program that is told what to block.

For what Guard knows nothing of: pf, a router's API, a cloud's packet filter. The program is run as
`PROGRAM ARGUMENTS... VERB`, never through a shell, once for any number of networks:

    open     make ready, or repair; repeated before each `list`
    apply    lines on stdin: `release NETWORK` and `block NETWORK SECONDS` (or `forever`)
    replace  the same `block` lines; whatever else is blocked is released
    list     print what is blocked, a line each: `NETWORK SECONDS`, `NETWORK forever`, `NETWORK`
    clear    remove everything

Networks and numbers are all that is ever written to it. It may end blocks by itself; those that are
over are also released. What it prints is read strictly and trusted as far as it is understood.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from guard.events import Block
from guard.firewall import commands
from guard.firewall.intervals import live
from guard.lib.logs import printable
from guard.lib.networks import Network, parse_network
from guard.roles import Refused, Unavailable


class Exec:
    """Runs `program`, a list of words; the first is a path or a name on PATH."""

    name = "exec"
    # Programs count as far as they can. What ends later is told again when half of this is left.
    longest = 86400.0

    def __init__(self, program: Sequence[str]) -> None:
        self._program = tuple(program)
        self._ends: dict[Network, float | None] = {}
        self._queue: list[tuple[float, Network]] = []

    def open(self) -> None:
        """Runs `open`; Refused when there is no such program."""
        commands.run([*self._program, "open"])

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Runs `apply` once, unless there is nothing to do."""
        wanted = live(block, now)
        gone = [net for net in dict.fromkeys((*release, *dict(block))) if net not in wanted]
        lines = [f"release {network}\n" for network in gone]
        lines += [_line(*item, now) for item in wanted.items()]
        if lines:
            self._run("apply", lines)
        for network in gone:
            self._ends.pop(network, None)
        for network, until in wanted.items():
            self._keep(network, until)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Runs `replace` once."""
        wanted = live(blocks, now)
        self._run("replace", [_line(*item, now) for item in wanted.items()])
        self._ends, self._queue = {}, []
        for network, until in wanted.items():
            self._keep(network, until)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What `list` prints; an end that it does not print is the one that it was told.

        After another `open`: nobody but the program knows whether its rules are still there.
        """
        found: dict[Network, float | None] = {}
        self._run("open", [])
        for line in self._run("list", []).splitlines():
            words = line.split()
            if not words:
                continue
            network, end = self._parsed(words, now)
            found[network] = self._ends.get(network) if end == 0 else end
        return found

    def expire(self, now: float) -> None:
        """Releases what is over, in case that the program does not."""
        over = []
        while self._queue and self._queue[0][0] <= now:
            until, network = heapq.heappop(self._queue)
            if self._ends.get(network) == until:
                over.append(network)
        if over:
            try:
                self.apply([], over, now)
            except Unavailable:
                for network in over:
                    heapq.heappush(self._queue, (now, network))
                    self._ends[network] = now
                raise

    def close(self, *, clear: bool = False) -> None:
        """Runs `clear` if asked."""
        if clear:
            self._run("clear", [])

    def _keep(self, network: Network, until: float | None) -> None:
        self._ends[network] = until
        if until is not None:
            heapq.heappush(self._queue, (until, network))

    def _run(self, verb: str, lines: Sequence[str]) -> str:
        try:
            return commands.run([*self._program, verb], "".join(lines))
        except Refused as error:
            raise Unavailable(str(error)) from error

    def _parsed(self, words: Sequence[str], now: float) -> tuple[Network, float | None]:
        """(network, end); 0 where the end is not told."""
        try:
            network = parse_network(words[0])
            if len(words) == 1:
                return network, 0
            return network, None if words[1] == "forever" else now + int(words[1])
        except ValueError as error:
            said = printable(" ".join(words)[:200])
            raise Unavailable(f"{self._program[0]} list printed {said!r}: {error}") from error


def _line(network: Network, until: float | None, now: float) -> str:
    left = "forever" if until is None else math.ceil(until - now)
    return f"block {network} {left}\n"
