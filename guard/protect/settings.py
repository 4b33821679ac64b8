"""Settings of `[protect]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.lib.fields import Duration, FilePath, Listen, Net, Port, server_fault
from guard.protect.allow import Allow
from guard.protect.senders import shipped

LONGEST_STANDING = 90 * 86400.0  # guard.stores.settings.STANDING_KEPT, a floor above


@dataclass(frozen=True, kw_only=True)
class ProtectSettings:
    """Whom nothing may block.

    `reserved` is all space that is not global unicast: private, loopback, documentation. Switch it
    off to ban such addresses, in a laboratory or behind a translator. `ssh` protects whoever is
    connected to `ssh_ports`.
    `name_servers` are asked (none: those of resolv.conf); `resolve` is how often for the names in
    `allow`, `refresh` how often for the senders' SPF records (0 is never).
    `good_standing` is how long an address is trusted after mail or log-in (0 is not at all).
    A jail that makes more than `bans_per_minute` new bans (0 is any number) raises an alarm, and
    with `halt` stops for ten minutes.
    """

    allow: tuple[Allow, ...] = ()
    allow_files: tuple[FilePath, ...] = ()
    proxies: tuple[Net, ...] = ()
    reserved: bool = True
    own: bool = True
    senders: bool = True
    except_senders: tuple[str, ...] = ()
    name_servers: tuple[Listen, ...] = ()
    resolve: Duration = 300.0
    refresh: Duration = 86400.0
    ssh: bool = True
    ssh_ports: tuple[Port, ...] = (22,)
    good_standing: Duration = 30 * 86400.0
    bans_per_minute: int = 600
    halt: bool = False

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        known = [s.name for s in shipped().senders] if self.except_senders else []
        for index, name in enumerate(self.except_senders):
            if name not in known:
                yield f"except_senders[{index}]", f"{name!r} is not one of {', '.join(known)}"
        if self.good_standing > LONGEST_STANDING:
            yield "good_standing", "must be at most 90d, which is how long the store keeps it"
        if self.bans_per_minute < 0:
            yield "bans_per_minute", "must not be negative"
        if self.ssh and not self.ssh_ports:
            yield "ssh_ports", "is empty; write `ssh = false` to protect no sessions"
        for index, server in enumerate(self.name_servers):
            if fault := server_fault(server):
                yield f"name_servers[{index}]", fault
        if self.resolve < 10:
            yield "resolve", "must be at least 10s"
        if 0 < self.refresh < 3600:
            yield "refresh", "must be at least 1h, or 0 for never"
