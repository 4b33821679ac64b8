"""Settings of a source -> the source. Heavy libraries are imported only for who needs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guard.lib.clock import Clock, now
from guard.roles import Source
from guard.sources.settings import SourceSettings, WebhookSettings


def make_source(
    settings: SourceSettings, state: Path, filters: Sequence[Path] = (), clock: Clock = now
) -> Source:
    """What `settings` describe. `state` is the state directory, `filters` have filter files.

    Raises ConfigError, or what the filter raises, for files that the settings name.
    """
    checkpoints = state / "checkpoints"
    if isinstance(settings, WebhookSettings):
        from guard.sources.webhook import Webhook

        return Webhook(settings, state, clock=clock)
    from guard.sources.kumomta_log import KumomtaLog

    return KumomtaLog(settings.path, checkpoints, look_back=settings.look_back, clock=clock)
