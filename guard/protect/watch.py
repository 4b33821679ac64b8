"""Keeps protection true while the world moves: interfaces, sessions, files, names, senders.

`near` looks at this machine and costs milliseconds; `far` waits for the DNS. Each is called now and
then, in a thread of its own, and gives whole layers to `Protectors`. Whatever cannot be read keeps
its last good state, and is said once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes
from guard.protect import book, names, own, ssh
from guard.protect.allow import Allowed, fixed, parse_lines
from guard.protect.dns import Ask, addresses, resolver
from guard.protect.protection import Entries, Protectors, configured
from guard.protect.reserved import reserved
from guard.protect.reverse import Reverse
from guard.protect.senders import entries, shipped
from guard.protect.settings import ProtectSettings
from guard.roles import ConfigError, Unavailable

log = logging.getLogger("guard.protect")

NEAR_EVERY, FAR_EVERY = 5.0, 1.0
# Who guesses passwords is gone before; whoever stays that long is at work.
SSH_SETTLED = 30.0
FIRST_REFRESH = 300.0  # after the start, so that a restart loop does not flood the DNS


@dataclass(frozen=True, slots=True)
class Config:
    """Where `settings` were read from, and how they are read again: with the relay hosts.

    `read` raises ConfigError. `changed` is told of new settings that hold.
    """

    path: Path
    read: Callable[[], tuple[ProtectSettings, Sequence[Network]]]
    changed: Callable[[ProtectSettings], object] = lambda settings: None


class Watch:
    """Follows what `settings` name, for `protectors`. `near` and `far` may run side by side."""

    def __init__(
        self,
        settings: ProtectSettings,
        protectors: Protectors,
        state_dir: Path,
        *,
        config: Config | None = None,
        ask: Ask | None = None,
        here: Callable[[], own.Here] = own.read,
        sessions: Callable[[Collection[int]], Entries] = ssh.read,
    ) -> None:
        self._settings, self._protectors = settings, protectors
        self._stopping = False
        self._given = ask
        self._resolver = ask or resolver(settings.name_servers)
        self._config = config
        self._config_seen = _signature(config.path) if config else None
        self._here, self._sessions = here, sessions
        self._book = state_dir / book.NAME
        self._book_seen: object = None
        self._files: dict[Path, tuple[object, list[Allowed]]] = {}
        self._entries: tuple[Allowed, ...] = settings.allow
        self._names_file = state_dir / names.NAME
        self._names = names.load(self._names_file)
        self._set_names({entry.name for entry in settings.allow if entry.name})
        self._resolved = self._started = self._refreshed = float("-inf")
        self._reverse = Reverse(self._ask)
        self._reverse_file = state_dir / names.REVERSE
        self._confirmed = self._remembered = names.load(self._reverse_file)
        self._followed: object = None
        self._said: dict[str, str] = {}
        self._first = True
        self._seen: dict[Network, float] = {}  # SSH peers, each with the time it counts from

    def near(self, now: float) -> None:
        """Looks at interfaces, SSH sessions, files and the senders' book."""
        self._reread()
        settings = self._settings
        if settings.own and own.decide(here := self._here()):
            servers = [server.host for server in settings.name_servers]
            self._protectors.replace("self", own.decide(here, servers))
        if settings.ssh:
            self._protectors.replace("ssh", self._settled(now))
        self._read_files()
        if self._remembered:
            # Before anybody is blocked: whom a restart finds blocked is not heard of again.
            self._reverse.remember(self._remembered)
            self._remembered = {}
            self._reverse_names(now)
        if settings.senders and (seen := _signature(self._book)) != self._book_seen:
            self._book_seen = seen
            self._set_senders(book.load(self._book))

    def follow(self, now: float) -> None:
        """As `near`, for a process that asks no DNS: names are as another one has found them."""
        self.near(now)
        found = _signature(self._names_file), _signature(self._reverse_file), self._entries
        if found == self._followed:
            return
        self._followed = found
        self._names = names.load(self._names_file)
        self._set_names({entry.name for entry in self._entries if entry.name})
        ends = tuple(entry.suffix for entry in self._entries if entry.suffix)
        known = names.load(self._reverse_file).items()
        allowed = [(name, some) for name, some in known if ("." + name).endswith(ends)]
        self._protectors.replace(
            "allow_rdns", [(network, f"allow {name}") for name, some in allowed for network in some]
        )

    def far(self, now: float) -> None:
        """Asks the DNS for what is due: names, reverse names noticed, and the senders' records."""
        if self._started == float("-inf"):
            self._started = now
        if not self._resolved <= now < self._resolved + self._settings.resolve:
            self._resolved = now
            self._resolve_names()
        self._reverse_names(now)
        every = self._settings.refresh
        if self._settings.senders and every and now >= self._started + FIRST_REFRESH:
            known = book.load(self._book) if self._refreshed == float("-inf") else {}
            newest = max([self._refreshed, *(learnt.time for learnt in known.values())])
            if now >= newest + every:
                self._refreshed = now
                self.refresh(now)

    def refresh(self, now: float) -> book.Book:
        """Asks for every sender's SPF record, and keeps what passes its bounds."""
        senders = [s for s in shipped().senders if s.name not in self._settings.except_senders]
        bogons = Prefixes(network for network, _ in reserved())
        found = book.refresh(senders, book.load(self._book), self._ask, bogons, now)
        for name, learnt in found.items():
            self._say(f"sender {name}", learnt.fault)
        try:
            book.save(self._book, found)
        except OSError as error:
            log.warning("cannot keep %s: %s", self._book, error)
        self._set_senders(found)
        return found

    def stop(self) -> None:
        """Has a `far` that runs end at its next question."""
        self._stopping = True

    def _ask(self, name: str, kind: str) -> list[str]:
        if self._stopping:
            raise Unavailable("Guard is stopping")
        return self._resolver(name, kind)

    def noticed(self, address: Network) -> None:
        """Has the reverse name of `address` asked for soon. Never waits; safe in any thread."""
        if self.heeds():
            self._reverse.noticed(address)

    def heeds(self) -> bool:
        """Whether any name that is allowed could be a reverse name of somebody's."""
        return any(entry.suffix for entry in self._entries)

    def _settled(self, now: float) -> Entries:
        """The sessions that have lasted for a while, and all that were there at the start."""
        found = self._sessions(self._settings.ssh_ports)
        since = now if self._first else now + SSH_SETTLED
        self._first = False
        self._seen = {address: self._seen.get(address, since) for address, _ in found}
        return [(address, why) for address, why in found if self._seen[address] <= now]

    def _set_senders(self, learnt: book.Book) -> None:
        if not self._settings.senders:
            self._protectors.replace("senders", ())
            return
        without = self._settings.except_senders
        known = entries(shipped().senders, without)
        self._protectors.replace("senders", [*known, *book.entries(learnt, without)])

    def _reread(self) -> None:
        """Takes up a changed configuration; one with faults changes nothing."""
        if self._config is None or (seen := _signature(self._config.path)) == self._config_seen:
            return
        self._config_seen = seen
        try:
            settings, relay_hosts = self._config.read()
        except ConfigError as error:
            self._say("protection", f"keeps its settings: {error}")
            return
        self._say("protection", "")
        layers = configured(settings, relay_hosts)
        off = [name for name, on in (("self", settings.own), ("ssh", settings.ssh)) if not on]
        self._protectors.replace_all({**layers, **dict.fromkeys(off, ())})
        if settings == self._settings:
            return
        log.info("protection: the configuration has changed")
        self._settings = settings
        if self._given is None:
            self._resolver = resolver(settings.name_servers)
        self._set_senders(book.load(self._book))
        self._resolved = float("-inf")
        self._config.changed(settings)

    def _read_files(self) -> None:
        for path in self._settings.allow_files:
            signature = _signature(path)
            if path in self._files and self._files[path][0] == signature:
                continue
            try:
                lines = list(parse_lines(path.read_text("utf-8", "replace")))
            except OSError as error:
                self._say(str(path), f"{error.strerror}; what it last said still holds")
                continue
            bad = [f"line {number}: {e}" for number, e in lines if isinstance(e, ValueError)]
            self._say(str(path), "; ".join(bad[:5]))
            self._files[path] = (signature, [e for _, e in lines if isinstance(e, Allowed)])
        some = [entry for _, held in self._files.values() for entry in held]
        self._entries = (*self._settings.allow, *some)
        self._protectors.replace("allow", fixed(self._entries))
        self._set_names({entry.name for entry in self._entries if entry.name})

    def _resolve_names(self) -> None:
        wanted = {entry.name for entry in self._entries if entry.name}
        before = dict(self._names)
        for name in wanted:
            try:
                self._names[name] = tuple(addresses(name, self._ask))
                self._say(f"allow {name}", "" if self._names[name] else "has no address")
            except Unavailable as error:
                self._say(f"allow {name}", f"{error}; its last addresses still hold")
        for gone in self._names.keys() - wanted:
            del self._names[gone]
        self._set_names(wanted)
        if self._names != before:
            names.save(self._names_file, self._names)

    def _reverse_names(self, now: float) -> None:
        suffixes = [entry.suffix for entry in self._entries if entry.suffix]
        self._protectors.replace("allow_rdns", self._reverse.run(suffixes, now) if suffixes else ())
        if suffixes and (found := self._reverse.confirmed()) != self._confirmed:
            self._confirmed = found
            names.save(self._reverse_file, found)

    def _set_names(self, wanted: set[str]) -> None:
        known = [(name, self._names.get(name, ())) for name in sorted(wanted)]
        self._protectors.replace(
            "allow_names", [(network, f"allow {name}") for name, some in known for network in some]
        )

    def _say(self, about: str, fault: str) -> None:
        """Logs a fault when it is new, and that it has gone."""
        if self._said.get(about, "") == fault:
            return
        self._said[about] = fault
        if fault:
            log.warning("%s: %s", about, fault)
        else:
            log.info("%s: answers again", about)


def _signature(path: Path) -> object:
    """What differs when a file has changed; None when there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
