"""What `guard check` finds in `[firewall]` that will surprise on this machine.

Looks and touches nothing. That a back end works is only known when it is opened: `guard up`.
"""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from guard.firewall import commands
from guard.firewall.blackhole import reverse_path_filtered
from guard.firewall.settings import FirewallSettings
from guard.lib.faults import Fault

# What each back end runs or imports, and what an operator installs to have it.
_PROGRAMS = {"nftables": ("nft", "install the package nftables")}
_SYSTEMD = Path("/run/systemd/system")  # there where systemd runs: sd_booted(3)
_TIMER = Path("/etc/systemd/system/timers.target.wants/guard-expire.timer")
_MODULES = {"iptables": ("iptc", "pip install 'guard-smtp[iptables]'")}


def check_firewall(
    settings: FirewallSettings, served: Sequence[tuple[str, int]], file: str
) -> list[Fault]:
    """Warnings about `settings`, which were read from `file`.

    `served` has the key and the port of each listener that strangers reach themselves.
    """
    found = [*_missing(settings), *_ports(settings, served), *_surprises(settings)]
    return [Fault(file, key, message) for key, message in found]


def _missing(settings: FirewallSettings) -> Iterator[tuple[str, str]]:
    backend = settings.backend
    program, hint = _PROGRAMS.get(backend, ("", ""))
    if program and commands.find(program) is None:
        yield "firewall.backend", f"needs the program {program}, not on this machine; {hint}"
    module, hint = _MODULES.get(backend, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        yield "firewall.backend", f"needs python-iptables: {hint}"
    if settings.command and commands.find(settings.command[0]) is None:
        yield "firewall.command", f"{settings.command[0]} is no program that can be run here"


def _ports(
    settings: FirewallSettings, served: Sequence[tuple[str, int]]
) -> Iterator[tuple[str, str]]:
    closed = settings.closed
    if closed is None or settings.backend not in ("auto", "nftables", "iptables"):
        return
    for key, port in served:
        if port not in closed:
            yield key, f"port {port} is not among [firewall] ports: who is banned still reaches it"


def _surprises(settings: FirewallSettings) -> Iterator[tuple[str, str]]:
    if settings.backend == "blackhole":
        if settings.ports not in ("all", FirewallSettings.ports):
            yield "firewall.ports", "null routes close every port, and the way back too"
        if not reverse_path_filtered():
            yield (
                "firewall.backend",
                "rp_filter is off: packets of the banned still reach the listener, and only the "
                "answers are dropped; set net.ipv4.conf.all.rp_filter=1 (or 2)",
            )
        if _SYSTEMD.exists() and not _TIMER.exists():
            yield (
                "firewall.backend",
                "null routes do not end while Guard is stopped: enable guard-expire.timer",
            )
    there = {name for _, name in socket.if_nameindex()} if settings.devices else set()
    for name in settings.devices:
        if name not in there:
            yield "firewall.devices", f"there is no device {name} now"
