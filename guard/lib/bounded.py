"""A bound on a whole HTTP exchange, headers and handshake included.

A timeout of requests is one of each wait: a server that sends a byte now and then is read from for
ever. Here all connections of a session are cut when the time is over, whatever it is waiting for.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from requests import Session
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class _Line:
    """The sockets of one exchange, by duplicates, which stay ours whoever wraps or closes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: list[socket.socket] = []
        self.over = False

    def hold(self, made: socket.socket) -> None:
        with self._lock:
            self._held.append(made.dup())
        if self.over:
            self.cut()

    def cut(self) -> None:
        """Ends every connection: whoever waits for it hears that it is closed."""
        with self._lock:
            self.over = True
            for held in self._held:
                with suppress(OSError):
                    held.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with self._lock:
            for held in self._held:
                held.close()
            self._held.clear()


class _Adapter(HTTPAdapter):
    """Makes connections that `line` holds."""

    def __init__(self, line: _Line) -> None:
        class Plain(HTTPConnection):
            def _new_conn(self) -> socket.socket:
                made = super()._new_conn()
                line.hold(made)
                return made

        class Secure(HTTPSConnection):
            def _new_conn(self) -> socket.socket:
                made = super()._new_conn()
                line.hold(made)
                return made

        plain = type("Plain", (HTTPConnectionPool,), {"ConnectionCls": Plain})
        secure = type("Secure", (HTTPSConnectionPool,), {"ConnectionCls": Secure})
        self._pools = {"http": plain, "https": secure}
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


@contextmanager
def bounded(session: Session, seconds: float) -> Iterator[None]:
    """What `session` does within takes `seconds` at most, or TimeoutError is raised."""
    line = _Line()
    adapter = _Adapter(line)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    timer = threading.Timer(seconds, line.cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if line.over:
            raise TimeoutError("timed out") from None
        raise
    finally:
        timer.cancel()
        line.close()
    if line.over:
        # A body that ends with its connection would look whole.
        raise TimeoutError("timed out")
