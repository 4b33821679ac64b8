"""Settings of a source -> the source. Heavy libraries are imported only for who needs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from guard.lib.clock import Clock, now
from guard.roles import Source
from guard.sources.settings import LogSettings, SourceSettings, WebhookSettings


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
    if isinstance(settings, LogSettings):
        from guard.filters.textfilter import load_filter
        from guard.sources.textlines import TextHear
        from guard.sources.textlog import TextLog

        # Read once here, so that a fault is told at the start.
        load_filter(settings.filter, filters)
        call = settings.filter
        return TextLog(
            settings.path,
            checkpoints,
            lambda: TextHear(load_filter(call, filters), clock),
            clock=clock,
        )
    if settings.path.is_file() or (settings.path.suffix and not settings.path.is_dir()):
        from guard.sources.recordlines import hear
        from guard.sources.textlog import TextLog

        name = f"kumomta-log {settings.path}"
        return TextLog(settings.path, checkpoints, lambda: hear, name=name, clock=clock)
    from guard.sources.kumomta_log import KumomtaLog

    return KumomtaLog(settings.path, checkpoints, look_back=settings.look_back, clock=clock)
