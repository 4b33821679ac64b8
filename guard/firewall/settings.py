"""Settings of `[firewall]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from guard.lib.fields import Duration, Port


@dataclass(frozen=True, kw_only=True)
class FirewallSettings:
    """`ports` are the TCP ports closed to whom is blocked; "all" is every port and protocol.

    `forwarded` closes them on the way through this machine too, not only to itself. `command` is
    the program of the back end `exec`, with its arguments. `clear` makes a stop remove all that is
    blocked; without it blocks stay until they end.
    """

    backend: Literal["auto", "nftables", "iptables", "blackhole", "exec", "dry-run"] = "dry-run"
    ports: tuple[Port, ...] | Literal["all"] = (25, 465, 587)
    forwarded: bool = False
    command: tuple[str, ...] = ()
    clear: bool = False
    reconcile: Duration = 60.0

    @property
    def closed(self) -> tuple[int, ...] | None:
        """The ports as back ends take them; None is every port."""
        return None if self.ports == "all" else tuple(dict.fromkeys(self.ports))

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if not self.ports:
            yield "ports", 'is empty; write "all" for every port'
        if (self.backend == "exec") != bool(self.command):
            yield "command", 'belongs to backend = "exec", and that needs it'
        if self.reconcile < 1:
            yield "reconcile", "must be at least 1s"
