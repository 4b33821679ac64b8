"""Settings of `[jails]`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import guard
from guard.lib.fields import FilePath


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
class JailsSettings:
    """Folders of fail2ban jail and filter files, and the width that IPv4 and IPv6 count by."""

    path: tuple[FilePath, ...] = field(default_factory=lambda: shipped("jail.d"))
    filters: tuple[FilePath, ...] = field(default_factory=lambda: shipped("filter.d"))
    ipv4_prefix: int = 32
    ipv6_prefix: int = 64
