"""Settings of `[protect]`."""

from __future__ import annotations

from dataclasses import dataclass

from guard.lib.fields import Net


@dataclass(frozen=True, kw_only=True)
class ProtectSettings:
    """Whom nothing may block."""

    allow: tuple[Net, ...] = ()
