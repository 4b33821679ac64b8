"""Settings of `[firewall]`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from guard.lib.fields import Duration, Port

_DEVICE = re.compile(r"[A-Za-z0-9_.-]{1,15}")


@dataclass(frozen=True, kw_only=True)
class FirewallSettings:
    """`ports` are the TCP ports closed to whom is blocked; "all" is every port and protocol.

    `forwarded` closes them on the way through this machine too, not only to itself. `hook` is where
    nftables drops: at prerouting, or before it where packets come in by `devices`. `command` is the
    program of the back end `exec`, with its arguments. `clear` makes a stop remove all that is
    blocked; without it blocks stay until they end.
    """

    backend: Literal["auto", "nftables", "iptables", "blackhole", "exec", "dry-run"] = "dry-run"
    ports: tuple[Port, ...] | Literal["all"] = (25, 465, 587)
    forwarded: bool = False
    hook: Literal["prerouting", "ingress"] = "prerouting"
    devices: tuple[str, ...] = ()
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
        yield from self._hooked()
        if (self.backend == "exec") != bool(self.command):
            yield "command", 'belongs to backend = "exec", and that needs it'
        if self.reconcile < 1:
            yield "reconcile", "must be at least 1s"

    def _hooked(self) -> Iterator[tuple[str, str]]:
        if (self.hook == "ingress") != bool(self.devices):
            yield "devices", 'belongs to hook = "ingress", and that needs it'
        if self.hook == "ingress" and self.backend not in ("auto", "nftables", "dry-run"):
            yield "hook", f'"ingress" is for nftables; {self.backend} cannot'
        if self.hook == "ingress" and not self.forwarded:
            yield "hook", '"ingress" drops what is for others too: it needs forwarded = true'
        for name in self.devices:
            if not _DEVICE.fullmatch(name):
                yield "devices", f"{name!r} is no name of a network device"
