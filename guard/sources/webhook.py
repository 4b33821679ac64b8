"""Log records by HTTP: KumoMTA's log hooks, or anybody who can POST JSON.

A sender hears 200 when its records are on disk, and only then; what it sends again is recognised.
KumoMTA gives up a record for good on any answer but 2xx, and tries again when there is none, so
that whatever may pass with time (a full disk, a backlog) closes the connection without an answer.
Trusts nobody without the secret, and nothing in a record but what any log record is trusted with.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from guard.events import Event
from guard.lib.clock import Clock, now
from guard.lib.logs import printable
from guard.lib.secrets import BadSecret, read_secret
from guard.lib.sockets import remove_stale
from guard.roles import Forbidden, Refused, Unavailable
from guard.sources.bodies import Body, Damaged, TooLarge, records_of, unpack
from guard.sources.inbox import Inbox
from guard.sources.kumomta_log import KumomtaLog
from guard.sources.settings import WebhookSettings

log = logging.getLogger("guard.sources")

AT_ONCE = 64  # bodies in memory; more connections wait before they may send theirs
BODY_WITHIN = 30.0  # seconds for the body of somebody who is not known yet
TRIM_EVERY = 60.0
SIGNATURE = "X-Guard-Signature"
UNPACKED = 8  # a body may grow so many times the largest that is taken


class Webhook:
    """Listens as `settings` say. What came and is not counted yet lies in the folder `state`."""

    def __init__(self, settings: WebhookSettings, state: Path, *, clock: Clock = now) -> None:
        self.name = f"webhook {settings.socket or settings.listen}"
        self.addresses: list[str] = []
        self._settings, self._clock = settings, clock
        folder = state / "inbox" / settings.key
        self._inbox = Inbox(folder)
        self._log = KumomtaLog(
            folder, state / "checkpoints", name=self.name, look_back=1e12, clock=clock
        )
        self._secret = b""
        self._room = asyncio.Semaphore(AT_ONCE)
        self._doorstep = asyncio.Semaphore(AT_ONCE)
        self._next = 0.0
        self._refusing = False

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Events as records come. Raises Unavailable or Refused when it cannot listen."""
        self._secret = shared_secret(self._settings.secret_file, self._settings.credential)
        await asyncio.to_thread(self._inbox.open, self._clock())
        runner = web.AppRunner(self._app(), auto_decompress=False, access_log=None)
        await runner.setup()
        trimmed = self._clock()
        try:
            await self._listen(runner)
            async for batch in self._log.batches():
                yield batch
                if self._clock() > trimmed + TRIM_EVERY:
                    trimmed = self._clock()
                    await asyncio.to_thread(self._trim, trimmed)
        finally:
            await runner.cleanup()
            self._inbox.close()

    @property
    def key(self) -> str:
        """The role's."""
        return self._log.key

    def resume(self, place: bytes | None) -> None:
        """The role's."""
        self._log.resume(place)

    def mark(self) -> bytes:
        """The role's."""
        return self._log.mark()

    @property
    def behind(self) -> int:
        """How many bytes were received and not counted yet."""
        return self._log.behind

    def tell(self) -> dict[str, int]:
        """How far it is behind, and what it could not read."""
        return self._log.tell()

    def finish(self) -> None:
        """Lets `batches` end with its place saved; what is not counted stays on disk."""
        self._log.finish()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=self._settings.max_body)
        app.router.add_post("/{path:.*}", self._post)
        return app

    async def _listen(self, runner: web.AppRunner) -> None:
        settings = self._settings
        context = tls_context(settings)
        site: web.BaseSite
        if settings.socket is not None:
            remove_stale(settings.socket)
            site = web.UnixSite(runner, str(settings.socket), ssl_context=context)
        else:
            host, port = settings.listen
            site = web.TCPSite(runner, host or None, port, ssl_context=context)
        try:
            await site.start()
        except PermissionError:
            raise Forbidden(f"{self.name}: not allowed to listen here") from None
        except OSError as error:
            raise Unavailable(f"{self.name}: {error.strerror or error}") from None
        if settings.socket is not None:
            settings.socket.chmod(0o660)
        self.addresses = [str(address) for address in runner.addresses]

    async def _post(self, request: web.Request) -> web.StreamResponse:
        signature = request.headers.get(SIGNATURE)
        if signature is None:
            if not self._bearer(request):
                return _refuse(401, "wrong or missing secret")
            await self._pace()
            async with self._room:
                return await self._take(request, await request.read())
        # Whoever signs is known when all is read: until then he is in the way of no other.
        async with self._doorstep:
            try:
                async with asyncio.timeout(BODY_WITHIN):
                    body = await request.read()
            except TimeoutError:
                return _hang_up(request)
            if not self._signed(signature, body):
                return _refuse(401, "wrong signature")
            await self._pace()
            async with self._room:
                return await self._take(request, body)

    async def _take(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Reads a body of somebody who knows the secret."""
        try:
            found = records_of(unpack(body, UNPACKED * self._settings.max_body))
        except TooLarge as error:
            return _refuse(413, str(error))
        except Damaged as error:
            return _refuse(400, str(error))
        if found.faults and not found.records:
            return _refuse(400, "no log records")
        return await self._keep(request, found)

    async def _keep(self, request: web.Request, found: Body) -> web.StreamResponse:
        """Answers when the records are on disk; without an answer they are sent again."""
        try:
            self._check_backlog()
            new = await self._inbox.put(found.records, self._clock())
        except Unavailable as error:
            if not self._refusing:
                log.error("%s: %s; senders have to try again", self.name, error)
            self._refusing = True
            if self._settings.busy == "503":
                return _refuse(503, "busy")
            return _hang_up(request)
        self._refusing = False
        told = {"records": len(found.records), "new": new, "faults": found.faults}
        return web.Response(text=json.dumps(told), content_type="application/json")

    def _check_backlog(self) -> None:
        """Raises Unavailable while too much waits to be counted."""
        if self.behind > self._settings.backlog:
            raise Unavailable(f"more than {self._settings.backlog} bytes wait to be counted")

    async def _pace(self) -> None:
        """Holds requests back to `rate` a second."""
        if self._settings.rate:
            loop = asyncio.get_running_loop()
            self._next = max(self._next + 1 / self._settings.rate, loop.time())
            await asyncio.sleep(self._next - loop.time())

    def _bearer(self, request: web.Request) -> bool:
        """Whether the secret, if there is one, came as a bearer token (RFC 6750, section 2.1)."""
        if not self._secret:
            return True
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        scheme, _, token = given.partition(b" ")
        return hmac.compare_digest(token.strip(), self._secret) and scheme.lower() == b"bearer"

    def _signed(self, signature: str, body: bytes) -> bool:
        """Whether `signature` is the HMAC-SHA256 of the body as it was sent."""
        expected = hmac.new(self._secret, body, "sha256").hexdigest()
        given = signature.removeprefix("sha256=").encode("utf-8", "surrogateescape")
        return not self._secret or hmac.compare_digest(given, expected.encode())

    def _trim(self, now: float) -> None:
        for place in self._log.counted.values():
            self._inbox.trim(place.file, now)


def _hang_up(request: web.Request) -> web.Response:
    """No answer at all: the sender tries again, where a refusal would have him drop it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=503)  # never sent


def _refuse(status: int, why: str) -> web.Response:
    headers = {"Retry-After": "60"} if status == 503 else {}
    return web.json_response({"error": why}, status=status, headers=headers)


def shared_secret(path: Path | None, credential: str) -> bytes:
    """What senders have to know; empty where they need not. Raises Refused."""
    if path is None and not credential:
        return b""
    try:
        return read_secret(path, credential, least=16, words=True).reveal().encode()
    except BadSecret as error:
        raise Refused(str(error)) from None


def tls_context(settings: WebhookSettings) -> ssl.SSLContext | None:
    """What TLS needs, or None where there is to be none. Raises Refused."""
    if settings.tls_certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_private_key)
    except (OSError, ssl.SSLError) as error:
        raise Refused(f"{settings.tls_certificate}: {printable(str(error))}") from None
    return context
