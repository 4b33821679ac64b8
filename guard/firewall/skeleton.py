"""A template for another back end: copy this file, fill it in, name it where step 2 says.

Say here what it drops with, what it trusts, what it needs (privileges, programs, kernels), and in
what it differs from a packet filter with timeouts, because the operator has to know. Then:

1. Write the five methods. `dryrun.py` is the shortest whole example, `blackhole.py` one that talks
   to a kernel, `exec.py` one that talks to a program.
2. Add the name to FirewallSettings.backend and to MAKERS in choose.py; to AUTOMATIC too if it
   should be tried where nothing was named.
3. Add it to KINDS in tests/firewall/test_backends.py, which proves it with real packets.
4. Describe it in docs/firewall.md.

A back end that cannot end blocks, cannot count far, or can look at its own rules has an ability of
abilities.py besides; the mirror asks by type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from guard.events import Block
from guard.lib.networks import Network


class Skeleton:
    """One line: what it is. `ports` None is every port and protocol; else TCP ports."""

    name = "skeleton"

    def __init__(self, ports: Sequence[int] | None) -> None:
        # Nothing is opened or asked here: choose.py makes back ends only to try them.
        self._ports = ports

    def open(self) -> None:
        """Makes tables, sets and rules, or finds them; everything of a name that is ours.

        Called again after somebody tore them down, and at every start: what is blocked stays
        blocked. Raises Refused, with what would help, when this machine cannot.
        """
        raise NotImplementedError

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """Releases, then blocks; in one transaction where there are any.

        A network that is blocked already gets the new end, of several the last one. One that is not
        blocked may be released. `until` at or before `now` releases. Networks nest: releasing a
        /24 leaves a /25 within it blocked. Raises Unavailable when it may work later.
        """
        raise NotImplementedError

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """Makes `blocks`, a million at times, all that is blocked.

        Nobody who was blocked and is to be may pass meanwhile: swap, or add before you delete.
        """
        raise NotImplementedError

    def blocked(self, now: float) -> dict[Network, float | None]:
        """What is really blocked: ask the kernel or the router, not your memory."""
        raise NotImplementedError

    def close(self, *, clear: bool = False) -> None:
        """Lets go of sockets. Leaves blocks in place, or with `clear` removes all that is ours.

        Safe to call twice, and when `open` failed.
        """
        raise NotImplementedError
