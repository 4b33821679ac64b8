"""The listeners of a configuration: made from it, and brought up to date with it while they run.

On SIGHUP and when guard.toml or a file that a listener names changes, everything is read anew. Is
there no fault in it, then it holds at once: relay rules and passwords for open sessions too, other
settings for sessions that begin. Is there one, the old configuration stays and the log says why.
Addresses are bound at the start only, and so it is with all other sections of guard.toml but
`[queue]`, for the attempts that follow, and `[protect]`, which looks after itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from guard.config import DEFAULT_PATH, Settings, load
from guard.filters.scanners import range_files
from guard.lib.clock import Clock
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.lib.reload import Reloader
from guard.lib.shared import Board
from guard.mail.settings import QueueSettings
from guard.relay.exposed import readable
from guard.relay.live import Live, Rules, examine
from guard.relay.reports import ReportReader
from guard.relay.traps import forgeable
from guard.roles import ConfigError, Refused, Sink, Spool
from guard.smtp.listener import no_good
from guard.smtp.naming import Naming
from guard.smtp.server import Server, check_files
from guard.smtp.settings import ListenerSettings

log = logging.getLogger("guard.listeners")
_Ready = Callable[[], None]
TakeQueues = Callable[[Mapping[str, QueueSettings]], None]


def rules(settings: Settings, path: Path | None) -> list[Rules]:
    """What each `[[listener]]` of `settings`, which were read from `path`, says about relaying."""
    return [
        Rules(
            relay_hosts=item.relay_hosts,
            listener_domains=item.listener_domains,
            policy=item.policy,
            policy_timeout=item.policy_timeout,
            credentials=item.credentials,
            encrypts=item.tls_certificate is not None,
            file=str(path or DEFAULT_PATH),
            key=f"listener[{index}].relay_hosts",
        )
        for index, item in enumerate(settings.listener)
    ]


def check(settings: Settings, path: Path | None) -> list[Fault]:
    """Reads all files of all listeners; returns warnings. Raises ConfigError with all faults."""
    found: list[Fault] = []
    faults: list[Fault] = []
    ports = {item.listen.port for item in settings.listener}
    if any(item.proxies for item in settings.listener):
        ports = set()  # the address that a client connected to is then the proxy's
    everything = rules(settings, path)
    # Port 25, where nobody logs in, and port 587 have the same files as a rule.
    asking = {
        file
        for some in everything
        if some.credentials or some.policy
        for file in some.listener_domains
    }
    for item, some in zip(settings.listener, everything, strict=True):
        try:
            found += examine(some, ports, asking)
            found += forgeable(item.proxies, some.file, _key(some, "proxies"))
            found += readable(item.tls_private_key) if item.tls_private_key else []
            check_files(item)
        except ConfigError as error:
            faults += error.faults
        except Refused as error:
            faults.append(_unusable(some, error))
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Parts:
    """What listeners share."""

    spool: Spool
    sink: Sink
    nodeid: str
    clock: Clock
    reports: ReportReader
    board: Callable[[str], Board | None] = lambda name: None
    naming: Naming | None = None
    good: Callable[[Network, float], bool] = no_good


class Listeners:
    """All `[[listener]]` blocks, made. Raises ConfigError with the faults of all their files."""

    def __init__(
        self,
        settings: Settings,
        path: Path | None,
        parts: Parts,
        shape: Callable[[Settings], Settings] = lambda settings: settings,
    ) -> None:
        """`shape` makes of settings that are read anew what `settings` were made of."""
        self._settings, self._path, self._shape = settings, path, shape
        self._queues: TakeQueues | None = None
        self._running: list[tuple[Server, Live]] = []
        faults: list[Fault] = []
        for item, some in zip(settings.listener, rules(settings, path), strict=True):
            try:
                live = Live(some)
            except ConfigError as error:
                faults += error.faults
            else:
                self._running.append((_server(item, live, parts), live))
        if faults:
            self.close()
            raise ConfigError(list(dict.fromkeys(faults)))
        self._files = self._named(settings)

    @property
    def servers(self) -> list[Server]:
        """Ready to be started."""
        return [server for server, _ in self._running]

    def tell_queues(self, take: TakeQueues) -> None:
        """From now on `take` is given `[queue]` whenever the configuration was read anew."""
        self._queues = take

    def reloader(self) -> Reloader[list[_Ready]]:
        """Keeps the listeners up to date while its `run` runs; `request` is for SIGHUP."""
        return Reloader(self.read, _apply, lambda: self._files, ConfigError)

    def read(self) -> list[_Ready]:
        """Reads everything anew; what it returns, called, puts it in force. Raises ConfigError."""
        settings = self._shape(load(self._path))
        # Also those of a configuration with faults: mending one of them is what is waited for.
        self._files = self._named(settings)
        found = {
            item.listen: (item, some)
            for item, some in zip(settings.listener, rules(settings, self._path), strict=True)
        }
        faults: list[Fault] = []
        ready: list[_Ready] = [lambda: self._keep(settings)]
        for server, live in self._running:
            if server.settings.listen not in found:
                continue
            item, some = found[server.settings.listen]
            try:
                ready.append(_change(server, live, item, live.prepare(some)))
            except ConfigError as error:
                faults += error.faults
            except Refused as error:
                faults.append(_unusable(some, error))
        if faults:
            raise ConfigError(list(dict.fromkeys(faults)))
        return ready

    def close(self) -> None:
        """Lets go of threads."""
        for _, live in self._running:
            live.close()

    def _named(self, settings: Settings) -> list[Path]:
        named = [file for some in rules(settings, self._path) for file in some.files]
        # A certificate is looked at by itself; here for the reload that failed because of it.
        for item in settings.listener:
            named += filter(None, (item.tls_certificate, item.tls_private_key, *item.scanners))
            # Of a folder the lists in it, and itself: others may come.
            named += [*item.scanner_networks, *range_files(item.scanner_networks)]
        main = self._path or DEFAULT_PATH
        return [*([main] if main.exists() else ()), *named]

    def _keep(self, settings: Settings) -> None:
        """Remembers what is in force, and tells what is not."""
        old, self._settings = self._settings, settings
        later = [
            spec.name
            for spec in fields(Settings)
            # Protection takes up its settings by itself.
            if spec.name not in ("listener", "protect", *(["queue"] if self._queues else ()))
            and getattr(old, spec.name) != getattr(settings, spec.name)
        ]
        if {item.listen for item in old.listener} != {item.listen for item in settings.listener}:
            later.append("listen")
        if self._queues is not None:
            self._queues(settings.queue)
        if later:
            log.warning("changes of %s take a restart", ", ".join(later))


def _unusable(some: Rules, error: Refused) -> Fault:
    """A certificate or its key is of no use."""
    return Fault(some.file, _key(some, "tls_certificate"), str(error))


def _key(some: Rules, name: str) -> str:
    """The key of another setting of the same listener."""
    return some.key.replace("relay_hosts", name)


def _server(item: ListenerSettings, live: Live, parts: Parts) -> Server:
    return Server(
        item,
        policy=live.policy,
        spool=parts.spool,
        sink=parts.sink,
        nodeid=parts.nodeid,
        clock=parts.clock,
        authenticator=live if live.authenticates else None,
        reports=parts.reports,
        board=parts.board(str(item.listen)) if item.workers > 1 else None,
        naming=parts.naming,
        good=parts.good,
    )


def _change(server: Server, live: Live, item: ListenerSettings, rules: _Ready) -> _Ready:
    """Raises Refused when the certificate is of no use."""
    renew = server.prepare(item)

    def change() -> None:
        rules()
        renew(live if live.authenticates else None)

    return change


def _apply(ready: list[_Ready]) -> None:
    for change in ready:
        change()
