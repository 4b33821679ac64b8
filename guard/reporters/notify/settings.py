"""Settings of each `[[notify]]`, one class per type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from guard.lib.fields import Duration, FilePath
from guard.lib.secrets import LOOPBACK, place_faults

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_SOURCE = re.compile(r"jail|manual|feed|(jail|feed):[^\s:]{1,200}", re.ASCII)
# An address that every mail server takes without an extension: no quotes, no address literal.
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
LEAST_SECRET = 16
LEAST_DIGEST = 60.0


def url_fault(url: str) -> str:
    """What is wrong with a URL to post to, never the URL itself; empty when nothing is."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is not an http or https URL with a host"
    if not (url.isascii() and url.isprintable()) or " " in url:
        return "has characters that no URL has"
    if "@" in parts.netloc:
        return "holds a user or password before its host; they would not be sent"
    return ""


def in_the_clear(url: str) -> bool:
    """Whether anybody on the way can read what is posted there."""
    parts = urlsplit(url)
    return parts.scheme == "http" and (parts.hostname or "") not in LOOPBACK


@dataclass(frozen=True, kw_only=True)
class Common:
    """Settings of every `[[notify]]`.

    `sources` are whose bans are told: "jail", "jail:NAME", "manual"; "feed" and "feed:NAME" add
    what lists brought to digests. `digest` collects for so long; 0 tells each by itself. `host` is
    which Guard tells it: by default the name of this machine, empty is none. What could not be told
    within `expire` is given up and counted.
    """

    name: str = ""
    sources: tuple[str, ...] = ("jail",)
    digest: Duration = 0.0
    host: str | None = None
    expire: Duration = 86400.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if self.name and not _NAME.fullmatch(self.name):
            yield "name", f"{self.name!r} may have letters, digits, dots and dashes only"
        if not self.sources:
            yield "sources", "is empty: nothing would be told"
        for index, source in enumerate(self.sources):
            if not _SOURCE.fullmatch(source):
                yield f"sources[{index}]", f"{source!r} is not jail, jail:NAME, manual or feed"
        if 0 < self.digest < LEAST_DIGEST:
            yield "digest", "must be at least 1m, or 0 for each by itself"
        if self.expire < 60:
            yield "expire", "must be at least 1m"


@dataclass(frozen=True, kw_only=True)
class _Posted(Common):
    """What is told by HTTP.

    `url_credential` names a systemd credential that holds the URL. Of more than `burst` messages
    within `interval`, the rest becomes one digest. `timeout` is for connecting and for each wait.
    """

    url: str | None = field(default=None, repr=False)  # whoever knows it may post
    url_file: FilePath | None = None
    url_credential: str = ""
    on: tuple[Literal["ban", "unban"], ...] = ("ban", "unban")
    burst: int = 10
    interval: Duration = 60.0
    timeout: Duration = 10.0
    proxy: str = field(default="", repr=False)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        yield from self._url_faults()
        for index, source in enumerate(self.sources):
            if source.startswith("feed") and not self.digest:
                yield f"sources[{index}]", "lists change by the thousand: needs a digest"
        if not self.on:
            yield "on", "is empty: nothing would be told"
        if self.burst < 1:
            yield "burst", "must be at least 1"
        if self.interval < 1:
            yield "interval", "must be at least 1s"
        if not 1 <= self.timeout <= 300:
            yield "timeout", "must be 1s to 5m"

    def _url_faults(self) -> Iterator[tuple[str, str]]:
        if self.url is None:
            if fault := place_faults(self.url_file, self.url_credential):
                yield "url_file", f"{fault}; or write `url`"
        elif self.url_file is not None or self.url_credential:
            yield "url", "and url_file or url_credential: only one of them"
        elif fault := url_fault(self.url):
            yield "url", fault


@dataclass(frozen=True, kw_only=True)
class WebhookNotify(_Posted):
    """JSON to a program, signed with the secret in `secret_file`, or in the systemd credential."""

    type: Literal["webhook"]
    secret_file: FilePath | None = None
    secret_credential: str = ""

    @property
    def signed(self) -> bool:
        """Whether there is a secret."""
        return self.secret_file is not None or bool(self.secret_credential)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if self.signed and (fault := place_faults(self.secret_file, self.secret_credential)):
            yield "secret_file", fault


@dataclass(frozen=True, kw_only=True)
class SlackNotify(_Posted):
    """A Slack incoming webhook, or what understands the same: Mattermost, Rocket.Chat."""

    type: Literal["slack"]


@dataclass(frozen=True, kw_only=True)
class DiscordNotify(_Posted):
    """A Discord webhook."""

    type: Literal["discord"]


@dataclass(frozen=True, kw_only=True)
class TeamsNotify(_Posted):
    """A Microsoft Teams workflow that begins with a webhook request."""

    type: Literal["teams"]


@dataclass(frozen=True, kw_only=True)
class MailNotify(Common):
    """A digest by mail, through our own spool and delivery; none when nothing happened.

    `sender` is who it is from, and who hears when it cannot be delivered; empty is nobody.
    """

    type: Literal["mail"]
    to: tuple[str, ...]
    sender: str = ""
    sources: tuple[str, ...] = ("jail", "manual", "feed")
    digest: Duration = 86400.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if not self.digest:
            yield "digest", "mail is sent as a digest only: at least 1m"
        if not 1 <= len(self.to) <= 100:
            yield "to", "names nobody, or more than 100"
        for index, address in enumerate(self.to):
            if not _MAILBOX.fullmatch(address):
                yield f"to[{index}]", f"{address!r} is not a plain mail address"
        if self.sender and not _MAILBOX.fullmatch(self.sender):
            yield "sender", f"{self.sender!r} is not a plain mail address"


Posted = WebhookNotify | SlackNotify | DiscordNotify | TeamsNotify
NotifySettings = WebhookNotify | SlackNotify | DiscordNotify | TeamsNotify | MailNotify


def name_of(settings: NotifySettings) -> str:
    """What it is called: its name, or else its type."""
    return settings.name or settings.type


def tells_of(sources: tuple[str, ...], source: str) -> bool:
    """Whether what `source` claims is told; `manual`, `jail:NAME` and so on."""
    return source in sources or source.partition(":")[0] in sources
