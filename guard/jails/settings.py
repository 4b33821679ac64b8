"""Settings of `[jails]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import guard
from guard.lib.fields import Duration, FilePath


def shipped(folder: str) -> tuple[Path, ...]:
    """Where `jail.d` or `filter.d` lies: the operator's, else the one that came with Guard."""
    for parent in (
        Path("/etc/guard"),
        Path(guard.__file__).parent.parent,
        Path(sys.prefix) / "share" / "guard",
    ):
        if (parent / folder).is_dir():
            return (parent / folder,)
    return ()


@dataclass(frozen=True, kw_only=True)
class CrowdSettings:
    """When many addresses of one block are banned, the whole block is; `addresses` 0 is never."""

    addresses: int = 0
    within: Duration = 86400.0
    length: Duration = 86400.0
    ipv4_prefix: int = 24
    ipv6_prefix: int = 48

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if self.addresses < 0 or self.addresses == 1:
            yield "addresses", "must be 2 or more, or 0 for never"
        if not 16 <= self.ipv4_prefix <= 32:
            yield "ipv4_prefix", "must be from 16 to 32"
        if not 32 <= self.ipv6_prefix <= 64:
            yield "ipv6_prefix", "must be from 32 to 64"


@dataclass(frozen=True, kw_only=True)
class JailsSettings:
    """Folders of fail2ban jail and filter files, and the width that IPv4 and IPv6 count by."""

    path: tuple[FilePath, ...] = field(default_factory=lambda: shipped("jail.d"))
    filters: tuple[FilePath, ...] = field(default_factory=lambda: shipped("filter.d"))
    ipv4_prefix: int = 32
    ipv6_prefix: int = 64
    crowd: CrowdSettings = field(default_factory=CrowdSettings)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if not 8 <= self.ipv4_prefix <= 32:
            yield "ipv4_prefix", "must be from 8 to 32"
        if not 32 <= self.ipv6_prefix <= 128:
            yield "ipv6_prefix", "must be from 32 to 128"
