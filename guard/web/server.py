"""Serves status page and metrics: `/`, `/metrics`, `/status.json`. Reads only.

It asks the daemon as a command does. No log-in: bind it to loopback or to a network of your own.
A request that names another host than that of the address it came to is refused, so that no page
on the Web can read it through an operator's browser (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from guard.lib.clock import Clock
from guard.lib.fields import Endpoint
from guard.roles import GuardError, Refused
from guard.web.metrics import CONTENT_TYPE, exposition
from guard.web.page import page

log = logging.getLogger("guard.web")
Ask = Callable[[str], Any]
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


class StatusPage:
    """Listens at `listen` while `run` runs. `ask` is a question to the daemon and may block."""

    def __init__(self, listen: Endpoint, ask: Ask, clock: Clock) -> None:
        self._listen, self._ask, self._clock = listen, ask, clock
        self._ending = asyncio.Event()
        self.addresses: list[Endpoint] = []
        self.ready = asyncio.Event()

    async def run(self) -> None:
        """Serves until it is cancelled. Raises Refused when it cannot bind."""
        app = web.Application(middlewares=[self._guarded])
        app.router.add_get("/", self._page)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/status.json", self._json)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            host, port = self._listen
            await web.TCPSite(runner, host or None, port).start()
            self.addresses = [Endpoint(*address[:2]) for address in runner.addresses]
            self.ready.set()
            await self._ending.wait()
        except OSError as error:
            raise Refused(f"cannot listen at {self._listen}: {error.strerror}") from None
        finally:
            await runner.cleanup()

    def finish(self) -> None:
        """Ends `run`."""
        self._ending.set()

    @web.middleware
    async def _guarded(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if not self._named(request):
            return web.Response(status=421, text="not the name of this host\n")
        try:
            response = await handler(request)
        except GuardError as error:
            log.warning("%s", error)
            response = web.Response(status=503, text="the daemon does not answer\n")
        response.headers.update(_HEADERS)
        return response

    def _named(self, request: web.Request) -> bool:
        """Whether the request means us: loopback by name, or the very address it came to."""
        local = request.transport.get_extra_info("sockname") if request.transport else None
        host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
        named = {"localhost", self._listen.host, f"[{local[0]}]" if local else "", "127.0.0.1"}
        return host.strip("[]") in {name.strip("[]") for name in named if name}

    async def _page(self, request: web.Request) -> web.Response:
        status, bans = await asyncio.gather(self._told("status"), self._told("bans"))
        return web.Response(text=page(status, bans, self._clock()), content_type="text/html")

    async def _metrics(self, request: web.Request) -> web.Response:
        body = exposition(await self._told("status"))
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _json(self, request: web.Request) -> web.Response:
        text = json.dumps(await self._told("status"))
        return web.Response(text=text, content_type="application/json")

    async def _told(self, question: str) -> Any:
        return await asyncio.to_thread(self._ask, question)
