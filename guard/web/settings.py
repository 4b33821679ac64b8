"""Settings of `[web]`."""

from __future__ import annotations

from dataclasses import dataclass

from guard.lib.fields import Listen


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """Where status page and metrics are served; left out, nowhere. They only read."""

    listen: Listen | None = None
