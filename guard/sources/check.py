"""What `guard check` finds in the files that sources name: faults, and what will surprise.

Opens files for reading and nothing else: no socket is bound, no place moved.
"""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from guard.filters.load import load_filter
from guard.lib.faults import Fault
from guard.lib.secrets import exposed
from guard.roles import ConfigError, Refused
from guard.sources.make import journalmatch
from guard.sources.recordlines import hear
from guard.sources.segment import Segment
from guard.sources.settings import (
    JournalSettings,
    KumomtaLogSettings,
    LogSettings,
    SourceSettings,
    SyslogSettings,
    WebhookSettings,
)
from guard.sources.tally import NO_RECORD, Tally

Found = Iterator[tuple[str, str]]


def check_sources(
    sources: Sequence[SourceSettings], filters: Sequence[Path], file: str
) -> list[Fault]:
    """Warnings about `sources`, which were read from `file`. Raises ConfigError with all faults."""
    faults: list[Fault] = []
    warnings: list[Fault] = []
    for index, item in enumerate(sources):
        place = f"source[{index}]"
        faults += [Fault(file, f"{place}.{key}", text) for key, text in _wrong(item, filters)]
        faults += _filter_faults(item, filters)
        warnings += [Fault(file, f"{place}.{key}", text) for key, text in _surprising(item)]
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return warnings


def _filter_faults(item: SourceSettings, filters: Sequence[Path]) -> Sequence[Fault]:
    called = getattr(item, "filter", None)
    if called is None:
        return ()
    try:
        load_filter(called, filters)
    except ConfigError as error:
        return error.faults
    return ()


def _wrong(item: SourceSettings, filters: Sequence[Path]) -> Found:
    """(key, message) for each file that cannot be used."""
    if isinstance(item, WebhookSettings):
        from guard.sources.webhook import shared_secret, tls_context

        yield from _refused("secret_file", lambda: shared_secret(item.secret_file, item.credential))
        yield from _refused("tls_certificate", lambda: tls_context(item))
    if isinstance(item, JournalSettings):
        from guard.sources.journal import match_words

        words = item.match if item.match is not None else journalmatch(item.filter, filters)
        yield from _refused("match", lambda: match_words(words))


def _refused(key: str, use: Callable[[], object]) -> Found:
    try:
        use()
    except Refused as error:
        yield key, str(error)


def _surprising(item: SourceSettings) -> Found:
    """(key, message) for what is no fault."""
    if isinstance(item, KumomtaLogSettings | LogSettings) and not _there(item.path):
        yield "path", f"{item.path} does not exist yet; Guard waits for it"
    if isinstance(item, KumomtaLogSettings) and (name := _foreign(item.path)):
        yield (
            "path",
            (
                f"{name} holds no JSON: with a `template` KumoMTA writes what Guard cannot read; "
                "leave it out for what Guard is to hear, or give those types a log_dir of their own"
            ),
        )
    if isinstance(item, JournalSettings) and shutil.which("journalctl") is None:
        yield "type", "there is no journalctl on this machine"
    if isinstance(item, WebhookSettings) and item.remote and item.tls_certificate is None:
        yield "tls_certificate", "is not set: the secret crosses the network in clear"
    if isinstance(item, WebhookSettings) and (why := exposed(item.secret_file)):
        yield "secret_file", why
    if isinstance(item, SyslogSettings) and item.remote:
        yield "listen", f"whoever can send to {item.listen} can have anybody banned"


def _there(path: Path) -> bool:
    text = str(path)
    return path.exists() or (glob.has_magic(text) and bool(glob.glob(text)))  # noqa: PTH207


def _foreign(path: Path) -> str:
    """The newest segment below `path`, where not one of its first lines is a log record."""
    try:
        below = [path] if path.is_file() else path.rglob("*[0-9]-[0-9]*")
        files = [p for p in below if p.is_file() and not p.name.startswith(".")]
        newest = max(files, key=lambda p: p.name, default=None)
        if newest is None:
            return ""
        tally = Tally()
        with newest.open("rb") as file:
            segment = Segment(file, "")
            while not tally.lines and (runs := segment.read()) is not None:
                hear(runs, tally, "")
    except OSError:  # that it cannot be read is said when it is followed
        return ""
    return newest.name if tally.faults.keys() == {NO_RECORD} and not tally.records else ""
