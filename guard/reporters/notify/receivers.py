"""Who is told: what a message looks like there, and how it gets there.

A receiver makes the body of an occasion, which is kept, and delivers a body that was kept, maybe
many times and in another process. It judges the answer and never tries again by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import msgspec

from guard.lib.logs import printable
from guard.lib.secrets import BadSecret, Secret, read_secret, scrub
from guard.lib.webcall import Answer, Call, CallFailed, call, place
from guard.reporters.notify import discord, plain, slack, teams
from guard.reporters.notify.settings import LEAST_SECRET, Posted, WebhookNotify, url_fault
from guard.reporters.notify.signature import headers
from guard.reporters.notify.values import Occasion

# 408 and 429 ask to come again (RFC 9110, 15.5.9; RFC 6585, 4), 425 too (RFC 8470, 5.2).
AGAIN = frozenset({408, 425, 429})
BODIES: dict[str, Callable[[Occasion], bytes]] = {
    "webhook": plain.body,
    "slack": slack.body,
    "discord": discord.body,
    "teams": teams.body,
}


class NotNow(Exception):
    """It could not be delivered, and may be later; not before `wait` seconds have passed."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class Never(Exception):
    """It is refused, and will be refused again."""


class Receiver(Protocol):
    """Somebody who is told. `place` is where, for the operator, without what is secret."""

    @property
    def place(self) -> str:
        """A host, or addresses."""
        ...

    def body(self, occasion: Occasion) -> bytes:
        """What is sent."""
        ...

    def deliver(self, id_: str, body: bytes, now: float) -> None:
        """Sends it once. Raises NotNow or Never."""
        ...


class Poster:
    """Posts to the URL of `settings`. URL and secret are read each time, so that new ones count."""

    def __init__(self, settings: Posted) -> None:
        self._settings, self._place = settings, ""
        with suppress(BadSecret):
            self._url()

    @property
    def place(self) -> str:
        """The host; empty until it is known."""
        return self._place

    def body(self, occasion: Occasion) -> bytes:
        """JSON in the form of the receiver."""
        return BODIES[self._settings.type](occasion)

    def deliver(self, id_: str, body: bytes, now: float) -> None:
        """Posts `body`. Raises NotNow or Never; no text of theirs has the URL or the secret."""
        try:
            url, secret = self._url(), self._secret()
        except BadSecret as error:
            raise NotNow(str(error)) from None
        asked = Call(
            url=url,
            method="POST",
            headers=headers(id_, body, secret.reveal().encode(), now),
            body=body,
            kind="application/json",
            accept="*/*",
            timeout=self._settings.timeout,
            proxy=self._settings.proxy,
        )
        try:
            answer = call(asked)
        except CallFailed as error:
            raise NotNow(_hidden(str(error), url, secret)) from None
        if not answer.good:
            self._judge(answer, url, secret, now)

    def _judge(self, answer: Answer, url: Secret, secret: Secret, now: float) -> None:
        said = _hidden(answer.body[:400].decode("utf-8", "replace"), url, secret)
        text = f"{place(url)}: answers {answer.status}" + (f": {said[:120]}" if said else "")
        if answer.status in AGAIN or answer.status >= 500:
            raise NotNow(text, max(answer.wait(now), _discord_wait(answer)))
        if answer.status < 400:
            raise Never(f"{text}; a redirect is not followed: set the URL that it leads to")
        raise Never(text)

    def _url(self) -> Secret:
        settings = self._settings
        if settings.url is not None:
            url = Secret(settings.url)
        else:
            url = read_secret(settings.url_file, settings.url_credential)
            if fault := url_fault(url.reveal()):
                raise BadSecret(f"{url.place}: {fault}")
        self._place = place(url)
        return url

    def _secret(self) -> Secret:
        settings = self._settings
        if not isinstance(settings, WebhookNotify) or not settings.signed:
            return Secret("")
        return read_secret(
            settings.secret_file, settings.secret_credential, least=LEAST_SECRET, words=True
        )


def _hidden(text: str, url: Secret, secret: Secret) -> str:
    """`text` of a stranger on one line, without the secret, the URL or what follows its host."""
    word = url.reveal()
    path = word.partition("://")[2].partition("/")[2]
    parts = [Secret(part) for part in path.replace("?", "/").split("/") if len(part) > 5]
    return printable(scrub(" ".join(text.split()), [secret, url, Secret(path), *parts]))


class _Discord(msgspec.Struct):
    retry_after: float = 0.0


def _discord_wait(answer: Answer) -> float:
    """Seconds that Discord asks for in its body ("Rate Limits", `retry_after`), at most an hour."""
    try:
        told = msgspec.json.decode(answer.body, type=_Discord)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return 0.0
    return min(max(told.retry_after, 0.0), 3600.0)
