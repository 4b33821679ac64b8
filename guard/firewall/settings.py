"""Settings of `[firewall]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from guard.lib.fields import Duration, Port


@dataclass(frozen=True, kw_only=True)
class FirewallSettings:
    """`ports` are the TCP ports closed to whom is blocked; empty is every port and protocol."""

    backend: Literal["auto", "nftables", "iptables", "blackhole", "dry-run"] = "dry-run"
    ports: tuple[Port, ...] | Literal["all"] = (25, 465, 587)
    reconcile: Duration = 60.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if not self.ports:
            yield "ports", 'is empty; write "all" for every port'
        if self.reconcile < 1:
            yield "reconcile", "must be at least 1s"
