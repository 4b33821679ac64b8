"""Settings of a source -> the source. Heavy libraries are imported only for who needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from pathlib import Path
from typing import NamedTuple

from guard.filters.load import load_filter
from guard.filters.textfilter import Filter
from guard.lib.clock import Clock, now
from guard.lib.conftags import Definition, find_definition, join_call, split_call
from guard.roles import Source
from guard.sources.settings import (
    JournalSettings,
    KumomtaLogSettings,
    LogSettings,
    SourceSettings,
    StdinSettings,
    SyslogSettings,
    WebhookSettings,
)
from guard.sources.tail import Hear


class _Place(NamedTuple):
    """Where a source finds filters and keeps its place."""

    state: Path
    filters: Sequence[Path]
    clock: Clock

    @property
    def checkpoints(self) -> Path:
        return self.state / "checkpoints"


def make_source(
    settings: SourceSettings, state: Path, filters: Sequence[Path] = (), clock: Clock = now
) -> Source:
    """What `settings` describe. `state` is the state directory, `filters` have filter files.

    Raises what `load_filter` raises for a filter that cannot be used.
    """
    return _make(settings, _Place(state, filters, clock))


@singledispatch
def _make(settings: object, at: _Place) -> Source:
    raise AssertionError(settings)


@_make.register
def _(settings: KumomtaLogSettings, at: _Place) -> Source:
    path = settings.path
    if path.is_file() or (path.suffix and not path.is_dir()):
        from guard.sources.recordlines import hear
        from guard.sources.textlog import TextLog

        name = f"kumomta-log {path}"
        return TextLog(path, at.checkpoints, lambda: hear, name=name, clock=at.clock)
    from guard.sources.kumomta_log import KumomtaLog

    return KumomtaLog(path, at.checkpoints, look_back=settings.look_back, clock=at.clock)


@_make.register
def _(settings: WebhookSettings, at: _Place) -> Source:
    from guard.sources.webhook import Webhook

    return Webhook(settings, at.state, clock=at.clock)


@_make.register
def _(settings: LogSettings, at: _Place) -> Source:
    from guard.sources.textlog import TextLog

    hearer = _hearer(settings.filter, at)
    return TextLog(settings.path, at.checkpoints, hearer, olddir=settings.olddir, clock=at.clock)


@_make.register
def _(settings: JournalSettings, at: _Place) -> Source:
    from guard.sources.journal import Journal

    match = settings.match
    if match is None:
        match = journalmatch(settings.filter, at.filters)
    return Journal(
        _timed(settings.filter, at.filters),
        at.checkpoints,
        jail_filter=settings.filter,
        match=match,
        folder=settings.path,
        clock=at.clock,
    )


@_make.register
def _(settings: SyslogSettings, at: _Place) -> Source:
    from guard.sources.syslog import Syslog

    filter_ = load_filter(settings.filter, at.filters) if settings.filter else None
    return Syslog(settings, filter_, clock=at.clock)


@_make.register
def _(settings: StdinSettings, at: _Place) -> Source:
    from guard.sources.recordlines import hear
    from guard.sources.standard_input import StandardInput

    return StandardInput(_hearer(settings.filter, at)() if settings.filter else hear)


def _hearer(call: str, at: _Place) -> Callable[[], Hear]:
    """What makes a hearer for each file, for a filter remembers the lines before."""
    from guard.sources.textlines import TextHear

    load_filter(call, at.filters)  # so that a fault is told at the start
    return lambda: TextHear(load_filter(call, at.filters), at.clock)


def _timed(call: str, filters: Sequence[Path]) -> Filter:
    """The filter for lines that come with their time, as fail2ban's journal back end sets it."""
    name, passed = split_call(call)
    return load_filter(join_call(name, {"logtype": "journal", **passed}), filters)


def journalmatch(call: str, filters: Sequence[Path]) -> str:
    """What the filter file says to read of the journal; empty where it says nothing."""
    name, passed = split_call(call)
    conf = find_definition(name, tuple(filters))
    return (Definition(conf, passed).get("journalmatch") or "" if conf else "").strip()
