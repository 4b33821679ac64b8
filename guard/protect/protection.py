"""Who is never blocked, and why: layers of networks, asked as one.

    self > reserved > proxies > relay_hosts > ssh > allow (networks, names, rDNS) > vetoes > senders

A layer comes from settings, from the kernel, from DNS or from a file; whoever watches it gives the
whole layer anew with `replace`. All layers are cut into one map, which is swapped in one
assignment: `protects` runs in any thread, never waits, and never sees half a change.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes, PrefixMap
from guard.protect import own
from guard.protect.allow import fixed
from guard.protect.carve import carve
from guard.protect.reserved import reserved
from guard.protect.senders import entries, shipped
from guard.protect.settings import ProtectSettings

Entries = Sequence[tuple[Network, str]]
LAYERS = (
    "self",
    "reserved",
    "proxies",
    "relay_hosts",
    "ssh",
    "allow",
    "allow_hand",
    "allow_names",
    "allow_rdns",
    "vetoes",
    "senders",
)


def configured(
    settings: ProtectSettings, relay_hosts: Sequence[Network]
) -> dict[str, Iterable[tuple[Network, str]]]:
    """The layers that only a change of the configuration changes."""
    return {
        "reserved": reserved() if settings.reserved else (),
        "proxies": [(n, f"proxy {n}") for n in settings.proxies],
        "relay_hosts": [(n, f"relay_hosts {n}") for n in relay_hosts],
    }


class Protectors:
    """The roles Protection and Carving; of the layers in LAYERS the first has precedence."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # among those who replace; who asks takes no lock
        self._layers: dict[str, Entries] = {}
        self._map = PrefixMap()
        self._prefixes = Prefixes()
        self.version = 0

    @classmethod
    def build(
        cls,
        settings: ProtectSettings,
        relay_hosts: Sequence[Network] = (),
        *,
        here: Callable[[], own.Here] = own.read,
    ) -> Protectors:
        """What `settings` and this machine protect now, before anything is resolved."""
        made = cls()
        servers = [server.host for server in settings.name_servers]
        senders = entries(shipped().senders, settings.except_senders) if settings.senders else ()
        made.replace_all(
            {
                "self": own.decide(here(), servers) if settings.own else (),
                "allow": fixed(settings.allow),
                "senders": senders,
                **configured(settings, relay_hosts),
            }
        )
        return made

    def protects(self, network: Network) -> str | None:
        """Why no address of `network` may be blocked, or None when it may be."""
        return self._map.find(network)

    def parts(self, network: Network) -> list[tuple[Network, str]]:
        """Which parts of `network` are protected, and why."""
        return list(self._map.within(network))

    def carve(self, network: Network) -> list[Network]:
        """What may be blocked of `network`: itself, pieces, or nothing (carve.py says when)."""
        return carve(network, (part for part, _ in self._map.within(network)))

    @property
    def prefixes(self) -> Prefixes:
        """Everything protected, as one set."""
        return self._prefixes

    def layer(self, name: str) -> Entries:
        """What a layer holds now."""
        return self._layers.get(name, ())

    def replace(self, name: str, entries: Iterable[tuple[Network, str]]) -> bool:
        """Makes `entries` all of the layer; whether that changed anything."""
        return self.replace_all({name: entries})

    def replace_all(self, layers: dict[str, Iterable[tuple[Network, str]]]) -> bool:
        """Replaces several layers at once; whether that changed anything."""
        new = {name: tuple(some) for name, some in layers.items()}
        if unknown := new.keys() - set(LAYERS):
            raise ValueError(f"no such layer: {', '.join(unknown)}")
        with self._lock:
            if all(self._layers.get(name, ()) == some for name, some in new.items()):
                return False
            self._layers = {**self._layers, **new}
            ordered = [entry for name in LAYERS for entry in self._layers.get(name, ())]
            prefixes = Prefixes(network for network, _ in ordered)
            self._map = PrefixMap(ordered)
            self._prefixes = prefixes
            self.version += 1
        return True
