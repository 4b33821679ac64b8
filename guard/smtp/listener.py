"""What all connections of one listener share, prepared once.

aiosmtpd inspects its handler on every connection; here everything that is the same for every
session (replies with the host name in them, EHLO's extensions, the parts it talks to) is made when
the listener starts.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from aiosmtpd.smtp import Session

from guard.filters.scanners import NOTHING, NOWHERE, Signatures
from guard.lib.networks import Network
from guard.lib.prefixes import PrefixMap
from guard.lib.seldom import Seldom
from guard.lib.shared import Board
from guard.relay.reports import ReportReader
from guard.relay.verdict import RelayPolicy
from guard.roles import Spool
from guard.smtp import replies
from guard.smtp.attempts import Attempts
from guard.smtp.auth import MECHANISMS, Authenticator, Exchange
from guard.smtp.ids import session_ids
from guard.smtp.incoming import no_reports
from guard.smtp.limits import LIMITS
from guard.smtp.replies import Reply, reply
from guard.smtp.settings import ListenerSettings

log = logging.getLogger("guard.smtp")


class Peer(NamedTuple):
    """Both ends of a connection; `name` and `local` are `ip:port`, IPv6 in brackets."""

    address: Network
    text: str
    port: int
    name: str
    local: str


class Tls(NamedTuple):
    """What was agreed in a handshake, in OpenSSL's words."""

    cipher: str
    version: str


class Facts(Session):
    """aiosmtpd's view of a session, for its own machinery. All but two begin as the class's."""

    ssl = proxy_data = auth_data = _login_data = None
    host_name: str | None = None
    authenticated: bool | None = None
    extended_smtp = False

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: str) -> None:
        # On purpose without super().__init__: most sessions are short.
        self.loop, self.peer = loop, peer


def nameless(_address: Network) -> str | None:
    """The reverse name of `_address`, where nobody asks for any."""
    return None


def no_good(_address: Network, _now: float) -> bool:
    """Whether `_address` is in good standing, where nobody knows."""
    return False


@dataclass(frozen=True)
class Listener:
    """The parts and texts of one `[[listener]]`. `counts` says how often each limit was met."""

    settings: ListenerSettings
    policy: RelayPolicy
    spool: Spool
    nodeid: str
    authenticator: Authenticator | None = None
    reports: ReportReader = no_reports
    starttls: bool = False
    signatures: Signatures = NOTHING
    ranges: PrefixMap = NOWHERE
    board: Board | None = None
    reverse: Callable[[Network], str | None] = nameless
    good: Callable[[Network, float], bool] = no_good
    counts: Counter[str] = field(default_factory=Counter)
    banner: bytes = field(init=False)
    technical: Reply = field(init=False)
    shutting_down: Reply = field(init=False)
    limits: dict[str, Reply] = field(init=False)
    too_many_closing: Reply = field(init=False)
    auth_closing: Reply = field(init=False)
    early: Reply = field(init=False)
    pipelining: Reply = field(init=False)
    blocked: Reply = field(init=False)
    attempts: Attempts = field(init=False)
    seldom: Seldom = field(init=False)
    ids: Callable[[], str] = field(init=False)
    mechanisms: dict[str, Callable[[str | None], Exchange]] = field(init=False)
    _extensions: tuple[bytes, bytes] = field(init=False)

    def __post_init__(self) -> None:
        """Fills in the host name wherever a reply has it."""
        settings = self.settings
        made: dict[str, object] = {
            name: reply(text.format(settings.hostname))
            for name, text in (
                ("technical", replies.TECHNICAL),
                ("shutting_down", replies.SHUTTING_DOWN),
                ("too_many_closing", replies.TOO_MANY_CLOSING),
                ("auth_closing", replies.AUTH_CLOSING),
                ("early", replies.EARLY),
                ("pipelining", replies.PIPELINING),
                ("blocked", replies.BLOCKED),
            )
        }
        made["seldom"] = Seldom(log.warning)
        made["ids"] = session_ids()
        made["attempts"] = Attempts(
            settings.max_auth_guesses, settings.auth_window, board=self.board
        )
        made["limits"] = {
            name: reply(limit.reply.format(settings.hostname)) for name, limit in LIMITS.items()
        }
        made["banner"] = reply(f"220 {settings.hostname} {settings.banner}").wire
        names = ["PLAIN", "LOGIN"] if settings.auth_login else ["PLAIN"]
        made["mechanisms"] = {name: MECHANISMS[name] for name in names}
        auth = f"AUTH {' '.join(names)}" if self.authenticator else ""
        made["_extensions"] = (
            self._extend("STARTTLS" if self.starttls else ""),
            self._extend(auth),
        )
        for name, value in made.items():
            object.__setattr__(self, name, value)

    def renewed(
        self,
        settings: ListenerSettings,
        authenticator: Authenticator | None,
        *,
        starttls: bool,
        signatures: Signatures,
        ranges: PrefixMap,
    ) -> Listener:
        """The same listener with other settings. Guesses at passwords are not forgotten."""
        made = replace(
            self,
            settings=settings,
            authenticator=authenticator,
            starttls=starttls,
            signatures=signatures,
            ranges=ranges,
        )
        limits = settings.max_auth_guesses, settings.auth_window
        if limits == (self.settings.max_auth_guesses, self.settings.auth_window):
            object.__setattr__(made, "attempts", self.attempts)
        return made

    def _extend(self, last: str) -> bytes:
        words = [
            "PIPELINING",
            f"SIZE {self.settings.max_message_size}",
            "ENHANCEDSTATUSCODES",
            "8BITMIME",
            "SMTPUTF8",
            *([last] if last else ()),
        ]
        return b"".join(f"250-{word}\r\n".encode() for word in words[:-1]) + (
            f"250 {words[-1]}\r\n".encode()
        )

    def greeting(self, name: str, *, encrypted: bool) -> bytes:
        """The reply to `EHLO name`."""
        first = f"250-{self.settings.hostname} greets {name}\r\n".encode()
        return first + self._extensions[encrypted]
