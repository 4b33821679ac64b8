"""Settings of each `[[source]]`, one class per type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from guard.lib.fields import Duration, Endpoint, FilePath, Listen, Net
from guard.lib.networks import parse_network
from guard.lib.secrets import place_faults

LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, kw_only=True)
class KumomtaLogSettings:
    """A KumoMTA log directory, or one file of JSON lines.

    Without a checkpoint it begins with what was written in the last `look_back`.
    """

    type: Literal["kumomta-log"]
    path: FilePath
    look_back: Duration = 86400.0


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Where log records may be sent by HTTP.

    `max_body` is bytes as sent, `backlog` bytes that may wait to be counted, `rate` requests a
    second (0 is any number); who comes faster is held back. `busy` is how a sender learns that it
    has to try again: a closed connection, which KumoMTA obeys, or an answer of 503. `credential`
    names a systemd credential in place of `secret_file`.
    """

    type: Literal["webhook"]
    listen: Listen = Endpoint("127.0.0.1", 8026)
    socket: FilePath | None = None
    secret_file: FilePath | None = None
    credential: str = ""
    tls_certificate: FilePath | None = None
    tls_private_key: FilePath | None = None
    max_body: int = 4 << 20
    backlog: int = 1 << 30
    rate: int = 0
    busy: Literal["close", "503"] = "close"

    @property
    def key(self) -> str:
        """A name for its files, the same after every start."""
        text = str(self.socket or self.listen)
        return "".join(c if c.isalnum() else "-" for c in text).strip("-")

    @property
    def remote(self) -> bool:
        """Whether others than this machine can reach it."""
        return self.socket is None and self.listen.host not in LOCAL

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        secret = self.secret_file is not None or bool(self.credential)
        if self.remote and not secret:
            yield "secret_file", f"is missing, and {self.listen} can be reached by others"
        if secret and (fault := place_faults(self.secret_file, self.credential)):
            yield "secret_file", fault
        if (self.tls_certificate is None) is not (self.tls_private_key is None):
            yield "tls_certificate", "needs tls_private_key, and the other way round"
        for name, least in (("max_body", 1), ("backlog", 1), ("rate", 0)):
            if getattr(self, name) < least:
                yield name, f"must be at least {least}"


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """A text log, or all that a pattern finds, and the fail2ban filter that reads its lines.

    `olddir` is the directory that logrotate moves old files to, where it does.
    """

    type: Literal["log"]
    path: FilePath
    filter: str
    olddir: FilePath | None = None


@dataclass(frozen=True, kw_only=True)
class JournalSettings:
    """The systemd journal by a filter; `match` is the filter's own journalmatch if left out."""

    type: Literal["journal"]
    filter: str
    match: str | None = None
    path: FilePath | None = None


LOOPBACK = (parse_network("127.0.0.0/8"), parse_network("::1"))


@dataclass(frozen=True, kw_only=True)
class SyslogSettings:
    """A syslog receiver, by UDP and TCP on one port, or a unix socket.

    Without a filter the messages are log records. `allow` is who may send; `public` lets every
    user of this machine write to the socket.
    """

    type: Literal["syslog"]
    listen: Listen = Endpoint("127.0.0.1", 5514)
    socket: FilePath | None = None
    filter: str | None = None
    allow: tuple[Net, ...] = LOOPBACK
    public: bool = False

    @property
    def remote(self) -> bool:
        """Whether others than this machine can reach it."""
        return self.socket is None and self.listen.host not in LOCAL


@dataclass(frozen=True, kw_only=True)
class StdinSettings:
    """Lines on standard input: text for a filter, or log records."""

    type: Literal["stdin"]
    filter: str | None = None


SourceSettings = (
    KumomtaLogSettings
    | WebhookSettings
    | LogSettings
    | JournalSettings
    | SyslogSettings
    | StdinSettings
)
