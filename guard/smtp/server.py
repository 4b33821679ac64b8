"""The listener's sockets: bind, admit, wait for what dialogues wait for, stop in good order.

Runs on the event loop, asyncio's or uvloop's. Everything that blocks (the disk, a password hash)
happens in worker threads of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from guard.filters.scanners import load_ranges, load_signatures
from guard.lib.clock import Clock
from guard.lib.fields import Endpoint
from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes
from guard.lib.shared import Board
from guard.relay.reports import ReportReader
from guard.relay.verdict import RelayPolicy
from guard.roles import Sink, Spool, Unavailable
from guard.smtp.auth import Authenticator
from guard.smtp.deadlines import Deadlines
from guard.smtp.incoming import no_reports
from guard.smtp.limits import COUNTED, Gate
from guard.smtp.listener import Listener, nameless, no_good
from guard.smtp.naming import Naming
from guard.smtp.ports import listen
from guard.smtp.protocol import Connection
from guard.smtp.replies import Reply
from guard.smtp.settings import ListenerSettings
from guard.smtp.sharing import CONNECTIONS, HELD, SharedGate
from guard.smtp.tls import Certificates, Tunnel
from guard.smtp.wires import Wires

log = logging.getLogger("guard.smtp")

_BACKLOG = 4096  # asyncio's 100 makes a burst of newcomers wait for SYN retransmits
_THREADS = 8


class Server:
    """One `[[listener]]`. Start it and stop it once, on the same loop."""

    def __init__(
        self,
        settings: ListenerSettings,
        *,
        policy: RelayPolicy,
        spool: Spool,
        sink: Sink,
        nodeid: str,
        clock: Clock,
        authenticator: Authenticator | None = None,
        reports: ReportReader = no_reports,
        trusted: Callable[[Network], bool] | None = None,
        blocked: Callable[[Network], bool] | None = None,
        board: Board | None = None,
        naming: Naming | None = None,
        good: Callable[[Network, float], bool] = no_good,
    ) -> None:
        """`trusted` says who besides relay_hosts is served whatever the limits; `blocked`, who is
        turned away although its packets still come: no firewall, a dry run, or a proxy in front.
        Both are asked for every connection. `board` is where several processes count together,
        `naming` finds out strangers' reverse names, `good` says who is in good standing.

        Raises ConfigError for a list of scanners that is of no use.
        """
        self.settings, self.sink, self.clock = settings, sink, clock
        self.listener = Listener(
            settings,
            policy,
            spool,
            nodeid,
            authenticator=authenticator,
            reports=reports,
            starttls=_offers_starttls(settings),
            signatures=load_signatures(settings.scanners),
            ranges=load_ranges(settings.scanner_networks),
            board=board,
            reverse=naming.name if naming else nameless,
            good=good,
        )
        self.held = 0
        self.now = clock()
        self._board = board
        self._naming = naming
        if naming:
            naming.serve(self)
        self.stopping = False
        self._proxies = Prefixes(settings.proxies)
        self._relay_hosts = Prefixes(settings.relay_hosts)
        self._trusted, self._blocked = trusted, blocked
        self._gate = SharedGate(board) if board else Gate()
        self._certificates: Certificates | None = None
        self._connections: set[Connection] = set()
        self._jobs: set[asyncio.Future[Any]] = set()
        self._wires: Wires | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._empty: asyncio.Event | None = None

    def consult(
        self,
        *,
        trusted: Callable[[Network], bool] | None,
        blocked: Callable[[Network], bool] | None,
    ) -> None:
        """Sets whom to ask about each connection from now on."""
        self._trusted, self._blocked = trusted, blocked

    def prepare(self, settings: ListenerSettings) -> Callable[[Authenticator | None], None]:
        """Reads what `settings` name; the answer puts them in force for sessions that begin then.

        `listen` stays. Raises Refused when the certificate is of no use. May be called in a
        thread, its answer only on the loop.
        """
        certificates, signatures = _certificates(settings), load_signatures(settings.scanners)
        ranges = load_ranges(settings.scanner_networks)

        def apply(authenticator: Authenticator | None) -> None:
            self.settings = settings
            self._proxies = Prefixes(settings.proxies)
            self._relay_hosts = Prefixes(settings.relay_hosts)
            # Sessions that were offered STARTTLS may still ask for it.
            self._certificates = certificates or self._certificates
            self.listener = self.listener.renewed(
                settings,
                authenticator,
                starttls=_offers_starttls(settings),
                signatures=signatures,
                ranges=ranges,
            )

        return apply

    @property
    def addresses(self) -> list[Endpoint]:
        """What is bound, with the real ports."""
        return [Endpoint(*name[:2]) for name in (self._wires.addresses if self._wires else ())]

    @property
    def counts(self) -> dict[str, int]:
        """For metrics: `connections` now, and how often each limit was met, by its setting."""
        met = self.listener.counts
        here = {"connections": len(self._connections), "held": self.held}
        return {**here, **{name: met[name] for name in COUNTED}}

    async def start(self) -> None:
        """Binds and listens.

        Raises Unavailable when the address is not to be had, Refused when the certificate is of
        no use.
        """
        self._certificates = _certificates(self.settings)
        self.loop = asyncio.get_running_loop()
        self.deadlines = Deadlines(self.loop)
        self._empty = asyncio.Event()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="guard-smtp")
        host, port = self.settings.listen
        try:
            # Several processes on one port: the kernel deals connections out among them.
            listening = await asyncio.to_thread(
                listen, host, port, _BACKLOG, shared=self.settings.workers > 1
            )
        except OSError as error:
            self._threads.shutdown()
            raise Unavailable(
                f"cannot listen on {self.settings.listen}: {error.strerror or error}"
            ) from error
        self._wires = Wires(self.loop, lambda: Connection(self), listening, self._begin_turn)

    def _begin_turn(self) -> None:
        """What is heard in one turn is heard at one time."""
        self.now = self.clock()

    async def stop(self, grace: float) -> None:
        """Accepts nobody any more, lets transactions end for `grace` seconds, closes all.

        A message that was received whole is stored before this returns.
        """
        if self._wires is None or self._threads is None or self._empty is None:
            return
        self.stopping = True
        self._wires.close()
        for connection in tuple(self._connections):
            if connection.dialogue is None or connection.dialogue.idle:
                connection.leave()
        if self._connections:
            self._empty.clear()
            try:
                async with asyncio.timeout(grace):
                    await self._empty.wait()
            except TimeoutError:
                log.info("%d sessions did not end in time", len(self._connections))
        for connection in tuple(self._connections):
            connection.cut()
        self.deadlines.close()
        while self._jobs:
            await asyncio.wait(tuple(self._jobs))
        self._threads.shutdown()
        self._wires.end()
        self._wires = None

    # For connections.

    def is_proxy(self, address: Network) -> bool:
        """Whether `address` has to begin with a PROXY header."""
        return self._proxies.covers(address)

    def tunnel(self) -> Tunnel:
        """TLS for one connection."""
        assert self._certificates
        return Tunnel(self._certificates.context)

    def admit(self, connection: Connection) -> Reply | None:
        """Takes `connection` in, or says why not."""
        if self.stopping:
            return self.listener.shutting_down
        if self._total >= self.settings.max_connections:
            self.listener.counts["max_connections"] += 1
            return self.listener.limits["max_connections"]
        self._connections.add(connection)
        if self._board:
            self._board.tell(CONNECTIONS, len(self._connections))
        return None

    @property
    def _total(self) -> int:
        """The connections of all processes."""
        here = len(self._connections)
        return here + self._board.elsewhere(CONNECTIONS) if self._board else here

    def hold(self) -> bool:
        """Whether one more session may be kept waiting; then it is counted until `release`."""
        held = self.held + self._board.elsewhere(HELD) if self._board else self.held
        if held >= self.settings.tarpit_sessions:
            return False
        self._hold(1)
        return True

    def release(self) -> None:
        """A session is kept waiting no longer."""
        self._hold(-1)

    def _hold(self, change: int) -> None:
        self.held += change
        if self._board:
            self._board.tell(HELD, self.held)

    @property
    def greet_pause(self) -> float:
        """How long strangers wait for the banner; never where people hand in their mail."""
        settings = self.settings
        submission = settings.tls_implicit or settings.listen.port in (465, 587)
        return 0.0 if submission else settings.greet_pause

    def is_blocked(self, address: Network) -> bool:
        """Whether `address` is to be turned away; counted, and no rejection of its own."""
        if self._blocked is None or not self._blocked(address):
            return False
        self.listener.counts["blocked"] += 1
        return True

    def enter(self, address: Network) -> tuple[bool, str | None]:
        """Whether `address` is trusted; and the limit that keeps it out, by its setting."""
        if self._relay_hosts.covers(address) or (self._trusted and self._trusted(address)):
            return True, None
        if self._naming and self.settings.scanner_names:
            self._naming.noticed(address)
        if self.settings.tarpit:  # the answer may take a while
            self.listener.good(address, self.now)
        return False, self._gate.enter(address, self._total, self.loop.time(), self.settings)

    @property
    def domains(self) -> frozenset[str]:
        """The reverse names that say something here: those below them do too."""
        return self.listener.signatures.domains if self.settings.scanner_names else frozenset()

    def named(self, addresses: Collection[Network]) -> None:
        """The reverse names of `addresses` are known now. Called in any thread."""

        def look() -> None:
            for connection in tuple(self._connections):
                if connection.dialogue and connection.dialogue.peer.address in addresses:
                    connection.recognise()

        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(look)

    def leave(self, address: Network) -> None:
        """A stranger that got in is gone."""
        self._gate.leave(address)

    def forget(self, connection: Connection) -> None:
        """`connection` is gone."""
        self._connections.discard(connection)
        if self._board:
            self._board.tell(CONNECTIONS, len(self._connections))
        if self._empty and not self._connections:
            self._empty.set()

    def work(self, job: Callable[[], object]) -> asyncio.Future[Any]:
        """Runs `job` in a worker thread."""
        return self._keep(self.loop.run_in_executor(self._threads, job))

    def ask(self, question: Awaitable[Any]) -> asyncio.Future[Any]:
        """Waits for `question`.

        In a task that this server keeps, not in a TaskGroup: it ends with its connection, and
        one that fails is the end of that session and of no other.
        """
        return self._keep(asyncio.ensure_future(question, loop=self.loop))

    def _keep(self, job: asyncio.Future[Any]) -> asyncio.Future[Any]:
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job


def check_files(settings: ListenerSettings) -> None:
    """Raises Refused for a certificate, ConfigError for a list of scanners, of no use."""
    load_signatures(settings.scanners)
    load_ranges(settings.scanner_networks)
    _certificates(settings)


def _certificates(settings: ListenerSettings) -> Certificates | None:
    if settings.tls_certificate and settings.tls_private_key:
        return Certificates(settings.tls_certificate, settings.tls_private_key, time.monotonic)
    return None


def _offers_starttls(settings: ListenerSettings) -> bool:
    return settings.tls_certificate is not None and not settings.tls_implicit
