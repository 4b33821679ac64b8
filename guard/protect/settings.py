"""Settings of `[protect]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from guard.lib.fields import Duration, FilePath, Net
from guard.protect.allow import Allow
from guard.protect.senders import shipped


@dataclass(frozen=True, kw_only=True)
class ProtectSettings:
    """Whom nothing may block.

    `reserved` is all space that is not global unicast: private, loopback, documentation. Switch it
    off to ban such addresses, in a laboratory or behind a translator.
    `resolve` is how often names in `allow` are asked for, `refresh` how often the senders' SPF
    records are (0 is never).
    """

    allow: tuple[Allow, ...] = ()
    allow_files: tuple[FilePath, ...] = ()
    proxies: tuple[Net, ...] = ()
    reserved: bool = True
    own: bool = True
    senders: bool = True
    except_senders: tuple[str, ...] = ()
    resolve: Duration = 300.0
    refresh: Duration = 86400.0
    ssh: bool = True
    good_standing: Duration = 30 * 86400.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        known = [s.name for s in shipped().senders] if self.except_senders else []
        for index, name in enumerate(self.except_senders):
            if name not in known:
                yield f"except_senders[{index}]", f"{name!r} is not one of {', '.join(known)}"
        if self.resolve < 10:
            yield "resolve", "must be at least 10s"
        if 0 < self.refresh < 3600:
            yield "refresh", "must be at least 1h, or 0 for never"
