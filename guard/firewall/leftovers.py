"""What another back end of Guard's left in force, when the configuration names a new one.

Bans stay in the kernel when Guard stops, so those of the back end before would outlive every
release. They go when the new one has laid its own. Touches only what carries Guard's name, and
nothing that a running Guard keeps.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from guard.firewall import nftrules
from guard.firewall.blackhole import Blackhole
from guard.firewall.chains import CHAIN
from guard.firewall.ipset import IPSets
from guard.firewall.ipsetgroup import PREFIX, is_ours
from guard.firewall.netlink import KernelError, Netlink, message, text
from guard.firewall.nftlayout import SETS
from guard.firewall.nftlayout import TABLE as NFT
from guard.firewall.nftsets import INET, SUBSYSTEM
from guard.firewall.routes import TABLE as ROUTES
from guard.firewall.sole import holder
from guard.firewall.xtables import Legacy, Nft, Rules
from guard.roles import GuardError, Refused

_log = logging.getLogger(__name__)
_DELETE_TABLE, _TABLE = 2, 1


class _Place(NamedTuple):
    """Where a back end keeps its blocks, and how an operator looks there."""

    present: Callable[[], bool]
    remove: Callable[[], None]
    shown: str


def found(name: str = "") -> dict[str, str]:
    """The other back ends than `name` that left something, and the command that shows it.

    What this process may not read is not told.
    """
    left = {}
    for other, place in _PLACES.items():
        if other == name or holder(other):
            continue
        with suppress(GuardError, KernelError, OSError):
            if place.present():
                left[other] = place.shown
    return left


def remove(name: str) -> None:
    """Removes what other back ends than `name` left; says what stays."""
    for other, shown in found(name).items():
        try:
            _PLACES[other].remove()
        except (GuardError, KernelError) as error:
            _log.warning("what %s blocked before stays blocked: %s; see %s", other, error, shown)
        else:
            _log.warning("removed what %s had left blocked", other)


def _nft_present() -> bool:
    netlink = Netlink()
    try:
        return SETS[0].name in nftrules.sets(netlink, NFT)
    finally:
        netlink.close()


def _nft_remove() -> None:
    # The program nft may be gone: that can be why there is another back end now.
    netlink = Netlink()
    try:
        gone = message(SUBSYSTEM << 8 | _DELETE_TABLE, 0, INET, text(_TABLE, NFT))
        netlink.transact(SUBSYSTEM, [gone])
    finally:
        netlink.close()


def _sets() -> list[str]:
    sets = IPSets()
    try:
        return [name for name in sets.names() if is_ours(PREFIX, name)]
    finally:
        sets.close()


def _ipsets_remove() -> None:
    """Empties the sets first: so nobody is blocked, whatever becomes of the rules."""
    ours, sets = _sets(), IPSets()
    try:
        for name in ours:
            sets.flush(name)
        for make in (Legacy, Nft):
            with suppress(Refused):
                _unhook(make())
        for name in ours:
            with suppress(KernelError):  # some rule still names it
                sets.destroy(name)
    finally:
        sets.close()


def _unhook(rules: Rules) -> None:
    for version in (4, 6):
        with suppress(Refused):
            if CHAIN in rules.chains(version):
                rules.remove(version)


def _routes_remove() -> None:
    Blackhole().close(clear=True)


_PLACES = {
    "nftables": _Place(_nft_present, _nft_remove, f"nft list table inet {NFT}"),
    "iptables": _Place(lambda: bool(_sets()), _ipsets_remove, "ipset list -n"),
    "blackhole": _Place(
        lambda: Blackhole().present(), _routes_remove, f"ip route show table {ROUTES}"
    ),
}
