"""TLS for connections whose bytes somebody else moves, and certificates that may be renewed.

OpenSSL works on buffers (`ssl.MemoryBIO`), so that asyncio and uvloop behave the same, what was
received before the handshake stays apart from what comes inside, and a PROXY header may come first.
TLS 1.2 is the least. A handshake costs a millisecond of the event loop.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from guard.roles import Refused
from guard.smtp.listener import Tls

log = logging.getLogger("guard.smtp")

_LOOK = 1.0  # seconds between two looks at the files
# What OpenSSL says as an operator would.
_REASONS = {
    "KEY_VALUES_MISMATCH": "the key belongs to another certificate",
    "NO_START_LINE": "not PEM",
    "PEM_LIB": "not PEM",
    None: "not PEM",
}


class TlsError(Exception):
    """The peer does not speak TLS as it should. `alert` is what to send it before closing."""

    def __init__(self, reason: str, alert: bytes) -> None:
        super().__init__(reason)
        self.alert = alert


class Certificates:
    """The certificate and key in two files, read again when they change.

    Files that cannot be used leave the old certificate in its place, with one line in the log.
    """

    def __init__(self, certificate: Path, key: Path, clock: Callable[[], float]) -> None:
        """Raises Refused when the files are of no use now. `clock` may be a monotonic one."""
        self._certificate, self._key, self._clock = certificate, key, clock
        self._looked, self._stamp = clock(), self._stamps()
        self._context = self._load()

    @property
    def context(self) -> ssl.SSLContext:
        """For the next handshake."""
        now = self._clock()
        if now >= self._looked + _LOOK:
            self._looked = now
            if self._stamps() != self._stamp:
                self.reload()
        return self._context

    def reload(self) -> None:
        """Reads the files now."""
        self._stamp = self._stamps()
        try:
            self._context = self._load()
        except Refused as error:
            log.error("%s; the old certificate stays in use", error)
        else:
            log.info("%s was read again", self._certificate)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        try:
            for path in (self._certificate, self._key):  # OpenSSL does not say which it missed
                path.open("rb").close()
            context.load_cert_chain(self._certificate, self._key, password=self._no_password)
        except ssl.SSLError as error:
            reason = _REASONS.get(error.reason, error.reason)
            raise Refused(f"{self._certificate} and {self._key}: {reason}") from None
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror or error}") from None
        return context

    def _no_password(self) -> str:
        """For an encrypted key; without this OpenSSL would ask at the terminal, and wait."""
        raise Refused(f"{self._key}: is encrypted, and nobody is there to ask for its password")

    def _stamps(self) -> list[tuple[int, int] | None]:
        """What tells that a file is another one, also behind a symbolic link."""
        stamps: list[tuple[int, int] | None] = []
        for path in (self._certificate, self._key):
            try:
                found = path.stat()
            except OSError:
                stamps.append(None)
            else:
                stamps.append((found.st_ino, found.st_mtime_ns))
        return stamps


class Tunnel:
    """The server's end of one TLS connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._in, self._out, server_side=True)
        self.tls: Tls | None = None
        self.ended = False

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """Takes what the network brought; gives what the client said, and what to send now.

        Raises TlsError. `tls` is set once the handshake is done, `ended` when the client closed.
        """
        self._in.write(data)
        said = []
        try:
            if self.tls is None:
                self._object.do_handshake()
                cipher = self._object.cipher()
                self.tls = Tls(cipher[0] if cipher else "", self._object.version() or "")
            while piece := self._object.read(65536):
                said.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsError(error.reason or "no TLS", self._out.read()) from None
        return b"".join(said), self._out.read()

    def send(self, data: bytes) -> bytes:
        """`data` as it goes over the network."""
        with suppress(ssl.SSLError):  # who broke the connection off is told nothing
            self._object.write(data)
        return self._out.read()

    def close(self) -> bytes:
        """The farewell that tells a truncated connection from a finished one."""
        with suppress(ssl.SSLError):  # the peer's own farewell is not waited for
            self._object.unwrap()
        return self._out.read()
