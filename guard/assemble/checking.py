"""Reads all configuration and opens nothing: `guard check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from guard.assemble.deciding import jails, recipes, relay_hosts
from guard.assemble.enriching import check_checks
from guard.assemble.reporting import check_reports
from guard.config import DEFAULT_PATH, Settings, load
from guard.firewall.check import check_firewall
from guard.jails.files import traps as jail_traps
from guard.lib.faults import Fault
from guard.lib.secrets import exposed
from guard.listeners import check as check_listeners
from guard.mail.check import check_queues
from guard.protect.traps import traps
from guard.reporters.notify.check import check_notify
from guard.roles import ConfigError
from guard.sources.check import check_sources
from guard.stores.check import check_store


def check(path: Path | None) -> list[Fault]:
    """Reads the configuration and the files that it names; returns warnings.

    Raises ConfigError with the faults of every file.
    """
    settings, where = load(path), str(path or DEFAULT_PATH)
    parts: list[Callable[[], list[Fault] | None]] = [
        lambda: check_store(settings.store, where),
        lambda: _jails(settings),
        lambda: _feeds(settings, where),
        lambda: check_checks(settings, jails(settings), where),
        lambda: check_listeners(settings, path),
        lambda: check_firewall(settings.firewall, _served(settings), where),
        lambda: check_sources(settings.source, settings.jails.filters, where),
        lambda: check_queues(settings.queue, where),
        lambda: check_notify(settings.notify, where),
        lambda: check_reports(settings, where),
    ]
    found: list[Fault] = []
    faults: list[Fault] = []
    for part in parts:
        try:
            found += part() or []
        except ConfigError as error:
            faults += error.faults
    warned = traps(settings.protect, relay_hosts(settings))
    found += [Fault(where, key, message) for key, message in warned]
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return found


def _served(settings: Settings) -> list[tuple[str, int]]:
    """The listeners that strangers reach themselves, with nothing in between."""
    return [
        (f"listener[{number}].listen", item.listen.port)
        for number, item in enumerate(settings.listener)
        if not item.proxies and not item.listen.host.startswith(("127.", "::1"))
    ]


def _jails(settings: Settings) -> list[Fault]:
    jails(settings)
    heard = [getattr(item, "filter", None) or "" for item in settings.source]
    return jail_traps(settings.jails.path, settings.jails.filters, heard)


def _feeds(settings: Settings, where: str) -> list[Fault]:
    try:
        recipes(settings)
    except ConfigError as error:
        raise ConfigError([Fault(where, f.key, f.message) for f in error.faults]) from None
    keys = [(n, exposed(getattr(feed, "key_file", None))) for n, feed in enumerate(settings.feed)]
    return [Fault(where, f"feed[{n}].key_file", why) for n, why in keys if why]
