"""Which back end this machine really has, and why: tried, not guessed.

A back end is asked to open; the first that can is taken. Nothing is left behind by those that
cannot, and opening the one that can is what would have happened next anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from guard.firewall.abilities import Shown
from guard.firewall.dryrun import DryRun
from guard.firewall.groups import NO_GROUPS, Groups
from guard.firewall.settings import FirewallSettings
from guard.firewall.sole import Marks
from guard.roles import Firewall, Refused

Maker = Callable[[FirewallSettings, Groups], Firewall]


class Choice(NamedTuple):
    """A back end that is open, and why it is this one, in a line for the operator."""

    firewall: Firewall
    reason: str


def _nftables(settings: FirewallSettings, groups: Groups) -> Firewall:
    from guard.firewall.nftables import NFTables

    return NFTables(
        settings.closed,
        forwarded=settings.forwarded,
        groups=groups,
        devices=settings.devices,
    )


def _iptables(settings: FirewallSettings, groups: Groups) -> Firewall:
    from guard.firewall.iptables import IPTables

    return IPTables(settings.closed, forwarded=settings.forwarded, groups=groups)


def _blackhole(settings: FirewallSettings, groups: Groups) -> Firewall:
    from guard.firewall.blackhole import Blackhole

    return Blackhole()


def _exec(settings: FirewallSettings, groups: Groups) -> Firewall:
    from guard.firewall.exec import Exec

    return Exec(settings.command)


def _dry_run(settings: FirewallSettings, groups: Groups) -> Firewall:
    return DryRun()


MAKERS: dict[str, Maker] = {
    "nftables": _nftables,
    "iptables": _iptables,
    "blackhole": _blackhole,
    "exec": _exec,
    "dry-run": _dry_run,
}
# What `auto` tries, best first.
AUTOMATIC = ("nftables", "iptables", "blackhole")


def choose(
    settings: FirewallSettings, groups: Groups = NO_GROUPS, marks: Marks | None = None
) -> Choice:
    """The back end that `settings` name, open; with `auto` the first that works, else dry-run.

    `groups` are kept in sets of their own by those that can (abilities.Grouping). `marks` keep
    other Guards out. Raises Refused when the one named does not work here, Unavailable when
    another Guard keeps it.
    """
    if settings.backend != "auto":
        firewall = _opened(settings.backend, settings, groups, marks)
        return Choice(firewall, _named(firewall, settings))
    refusals: dict[str, list[str]] = {}
    for name in AUTOMATIC:
        try:
            firewall = _opened(name, settings, groups, marks)
        except Refused as error:
            refusals.setdefault(str(error), []).append(name)
            continue
        why = f"works here, unlike {_told(refusals)}" if refusals else "the best that there is"
        return Choice(firewall, f"{why}, {_closing(firewall, settings)}")
    return Choice(DryRun(), f"{_dry('nobody is blocked, it')}; {_told(refusals)}")


def _opened(name: str, settings: FirewallSettings, groups: Groups, marks: Marks | None) -> Firewall:
    firewall = MAKERS[name](settings, groups)
    if marks is not None and name in AUTOMATIC:
        marks.take(name)
    try:
        firewall.open()
    except Refused:
        firewall.close()
        if marks is not None:
            marks.release(name)
        raise
    return firewall


def _dry(said: str) -> str:
    """What a dry run does; and does not, where an earlier run left blocks in force."""
    from guard.firewall import leftovers

    left = [f"{name} blocked before ({shown})" for name, shown in leftovers.found().items()]
    if not left:
        return f"{said} only says who would be"
    return f"nobody else is blocked than whom {' and '.join(left)}; it only says who would be"


def _told(refusals: dict[str, list[str]]) -> str:
    return "; ".join(f"{' and '.join(names)} ({why})" for why, names in refusals.items())


def _named(firewall: Firewall, settings: FirewallSettings) -> str:
    if settings.backend == "dry-run":
        return _dry("nobody is blocked; it")
    if settings.backend == "exec":
        return f"as configured, by {settings.command[0]}"
    return f"as configured, {_closing(firewall, settings)}"


def _closing(firewall: Firewall, settings: FirewallSettings) -> str:
    said = f"closing {_closed(firewall.name, settings)}"
    return f"{said}, shown by {firewall.shown_by}" if isinstance(firewall, Shown) else said


def _closed(name: str, settings: FirewallSettings) -> str:
    said = f"{_ports(name, settings)} to whom is banned"
    if not settings.devices:
        return said
    if name != "nftables":
        return f"{said}, not at ingress, which only nftables has"
    return f"{said}, at the ingress of {', '.join(settings.devices)}"


def _ports(name: str, settings: FirewallSettings) -> str:
    if name == "blackhole":
        return "every port, for a route knows none,"
    if settings.closed is None:
        return "every port"
    return f"TCP {', '.join(map(str, settings.closed))}"
