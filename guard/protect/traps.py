"""What a `[protect]` says and seldom means: for `guard check`, as warnings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from guard.lib.networks import Network
from guard.protect.settings import ProtectSettings

WIDE = {4: 8, 6: 24}


def traps(settings: ProtectSettings, relay_hosts: Sequence[Network]) -> Iterator[tuple[str, str]]:
    """(key, message) for each."""
    for index, entry in enumerate(settings.allow):
        if _wide(entry.networks):
            yield f"protect.allow[{index}]", f"{entry.text} protects a large part of the Internet"
    if _wide(settings.proxies):
        yield "protect.proxies", "protects a large part of the Internet"
    for network in relay_hosts:
        if _wide([network]):
            yield "listener.relay_hosts", f"{network} may relay, and so is never banned"
    for path in settings.allow_files:
        if not path.exists():
            yield "protect.allow_files", f"there is no {path}; it is read once it is there"
    if not settings.senders:
        yield "protect.senders", "large mail senders can be banned: lists and jails do meet them"
    if not settings.reserved:
        yield "protect.reserved", "private and loopback addresses can be banned"


def _wide(networks: Iterable[Network]) -> bool:
    return any(network.length < WIDE[network.version] for network in networks)
