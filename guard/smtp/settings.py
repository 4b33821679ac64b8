"""Settings of one `[[listener]]`."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import guard
from guard.lib.fields import Duration, Endpoint, FilePath, Listen, Net
from guard.lib.networks import parse_address

LOOPBACK = (parse_address("127.0.0.1"), parse_address("::1"))
_COUNTS = (
    "workers",
    "max_message_size",
    "max_recipients_per_message",
    "max_messages_per_connection",
    "max_connections",
    "line_length_hard_limit",
    "max_auth_failures",
    "max_auth_guesses",
    "min_data_rate",
    "tarpit_sessions",
    "max_connections_per_address",
    "max_sessions_per_minute",
    "max_commands",
    "max_errors",
    "max_failed_recipients",
)


def shipped_scanners() -> tuple[Path, ...]:
    """The list of scanners: the operator's, else the one that came with Guard."""
    for path in (
        Path("/etc/guard/scanners.toml"),
        Path(guard.__file__).parent.parent / "etc" / "scanners.toml",
        Path(sys.prefix) / "share" / "guard" / "scanners.toml",
    ):
        if path.is_file():
            return (path,)
    return ()


@dataclass(frozen=True, kw_only=True)
class ListenerSettings:
    """Names and defaults are KumoMTA's (start_esmtp_listener) where it has the option."""

    listen: Listen = Endpoint("127.0.0.1", 2525)
    workers: int = 1
    hostname: str = field(default_factory=socket.gethostname)
    banner: str = "ESMTP Guard"
    relay_hosts: tuple[Net, ...] = LOOPBACK
    listener_domains: tuple[FilePath, ...] = ()
    policy: FilePath | None = None
    policy_timeout: Duration = 5.0
    credentials: FilePath | None = None
    auth_login: bool = False
    max_auth_failures: int = 3
    max_auth_guesses: int = 20
    auth_window: Duration = 3600.0
    tls_certificate: FilePath | None = None
    tls_private_key: FilePath | None = None
    tls_implicit: bool = False
    proxies: tuple[Net, ...] = ()
    client_timeout: Duration = 60.0
    max_message_size: int = 20 * 1024 * 1024
    max_recipients_per_message: int = 1024
    max_messages_per_connection: int = 10000
    max_connections: int = 32768
    line_length_hard_limit: int = 998
    session_timeout: Duration = 3600.0
    min_data_rate: int = 500
    blocked: Literal["refuse", "drop"] = "refuse"
    greet_pause: Duration = 0.0
    tarpit: Duration = 0.0
    tarpit_max: Duration = 10.0
    tarpit_sessions: int = 1000
    scanners: tuple[FilePath, ...] = field(default_factory=shipped_scanners)
    scanner_networks: tuple[FilePath, ...] = ()
    scanner_names: bool = True
    require_ehlo: bool = False
    refuse_own_name: bool = False
    forbid_early_pipelining: bool = False
    max_connections_per_address: int = 50
    max_sessions_per_minute: int = 600
    max_commands: int = 5000
    max_errors: int = 50
    max_failed_recipients: int = 50

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        for name in _COUNTS:
            if getattr(self, name) < 1:
                yield name, "must be at least 1"
        if self.policy_timeout <= 0:
            yield "policy_timeout", "must be more than 0s: a hook needs time to answer"
        if not self.hostname.isascii() or not self.hostname.isprintable() or " " in self.hostname:
            yield "hostname", f"{self.hostname!r} is not a host name"
        if (self.tls_certificate is None) != (self.tls_private_key is None):
            missing = "tls_certificate" if self.tls_certificate is None else "tls_private_key"
            yield missing, "is missing: certificate and key come together"
        if self.tls_certificate is None:
            if self.tls_implicit:
                yield "tls_implicit", "needs tls_certificate and tls_private_key"
            if self.credentials is not None:
                yield "credentials", "needs tls_certificate: nobody may log in without TLS"
