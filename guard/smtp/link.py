"""What stands between a socket and the client's own bytes: a PROXY header, TLS, flow control.

The base of protocol.py's Connection, and aiosmtpd's subclass; there it says why it is one. Decides
nothing about mail.
"""

from __future__ import annotations

import asyncio
import logging
from functools import lru_cache
from typing import TYPE_CHECKING

from aiosmtpd.smtp import SMTP

from guard.lib.networks import parse_address
from guard.smtp.listener import Peer, Tls
from guard.smtp.proxy import BadHeaderError, Header
from guard.smtp.tls import TlsError, Tunnel

if TYPE_CHECKING:
    from guard.smtp.server import Server

log = logging.getLogger("guard.smtp")


class Link(SMTP):
    """The bytes of one connection. Whoever derives from it says what follows from them."""

    transport: asyncio.Transport | None = None
    peer: Peer
    _header: Header | None = None

    def __init__(self, server: Server) -> None:
        # On purpose without super().__init__; see protocol.py.
        self.server = server
        self.loop = server.loop
        self.hung_up = False
        self.wrapped = False  # whether there is more on the wire than the client's own bytes
        self._tunnel: Tunnel | None = None

    def __del__(self) -> None:
        # asyncio's looks for a future that only its own constructor makes.
        pass

    def arrived(self, peer: Peer) -> None:
        """The client's address is known."""
        raise NotImplementedError

    def secured(self, tls: Tls) -> None:
        """The TLS handshake is done."""
        raise NotImplementedError

    def waits(self) -> bool:
        """Whether the client has to wait, and so is not read from."""
        raise NotImplementedError

    def meet(self, peer: Peer) -> None:
        """Somebody is at the other end: the client, or a proxy that has to name it."""
        self.peer = peer
        if self.server.settings.proxies and self.server.is_proxy(peer.address):
            self._header, self.wrapped = Header(), True
        else:
            self.arrived(peer)

    def open(self, data: bytes) -> bytes:
        """What the client said, of what the network brought."""
        if self._header:
            data = self._unwrap(self._header, data)
        if self._tunnel and data:
            data = self._decrypt(self._tunnel, data)
        return data

    def secure(self) -> None:
        """TLS from here on."""
        self._tunnel, self.wrapped = self.server.tunnel(), True

    @property
    def audible(self) -> bool:
        """Whether the client would understand a reply: not in the middle of a handshake."""
        return self._tunnel is None or self._tunnel.tls is not None

    def _unwrap(self, header: Header, data: bytes) -> bytes:
        """Takes the PROXY header off; what is behind it is the client's."""
        assert self.transport
        try:
            found = header.feed(data)
            if found is None:
                return b""
            route, rest = found
            peer = peer_of(*route) if route else self.peer
        except (BadHeaderError, ValueError) as error:
            self._tell("proxy", f"the proxy {self.peer.text} was cut off: {error}")
            self.transport.abort()
            return b""
        self._header, self.wrapped = None, False
        self.peer = peer
        self.arrived(peer)
        return rest

    def _decrypt(self, tunnel: Tunnel, data: bytes) -> bytes:
        """What the client said inside TLS; the handshake too happens here."""
        transport = self.transport
        assert transport
        shaken = tunnel.tls is not None
        try:
            said, out = tunnel.receive(data)
        except TlsError as error:
            # As with KumoMTA no rejection; unlike there, nothing goes on in the clear.
            self._tell(f"TLS {error}", f"TLS with {self.peer.text} failed: {error}")
            transport.write(error.alert)
            transport.close()
            return b""
        if out:
            transport.write(out)
        if tunnel.tls and not shaken:
            self.secured(tunnel.tls)
        self.hung_up = self.hung_up or tunnel.ended
        return said

    def _tell(self, kind: str, message: str) -> None:
        """Logs what strangers can make happen as often as they like."""
        self.server.listener.seldom.tell(kind, message, self.server.clock())

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Sends `data`."""
        transport.write(self._tunnel.send(data) if self._tunnel else data)

    def finish(self, transport: asyncio.Transport) -> None:
        """Closes when all is written."""
        if self._tunnel and self._tunnel.tls:
            transport.write(self._tunnel.close())
        transport.close()

    def pause_writing(self) -> None:
        """The client does not read its replies: it gets no more of them."""
        if self.transport:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        if self.transport and not self.waits():
            self.transport.resume_reading()

    async def handle_exception(self, error: Exception) -> str:
        """What aiosmtpd's own machinery would tell the client of `error`: nothing of it."""
        log.error("a session broke", exc_info=error)
        return self.server.listener.technical.wire.decode().rstrip()


def peer_of(host: str, port: int, local_host: str, local_port: int) -> Peer:
    """Both ends; IPv4-mapped addresses are the IPv4 ones. Raises ValueError."""
    local = _endpoint(local_host, local_port)
    if ":" not in host:  # what the kernel calls an IPv4 address is how we write it
        return Peer(parse_address(host), host, port, f"{host}:{port}", local)
    address = parse_address(host.partition("%")[0])
    text = str(address)
    name = f"{text}:{port}" if address.version == 4 else f"[{text}]:{port}"
    return Peer(address, text, port, name, local)


@lru_cache(maxsize=64)
def _endpoint(host: str, port: int) -> str:
    """One of our own addresses as KumoMTA writes it."""
    address = parse_address(host.partition("%")[0])
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
