"""The sockets that a listener listens on, of each family and address that its setting stands for.

Trusts the resolver; accepts nobody.
"""

from __future__ import annotations

import errno
import os
import socket

_NO_FAMILY = {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}  # this machine has no IPv6


def listen(host: str, port: int, backlog: int, *, shared: bool) -> list[socket.socket]:
    """Sockets that listen on `host`, every address of both families without one.

    Where there is no IPv6, what a name says of it is left out, as long as something is left.
    `shared` by several processes, among which the kernel deals connections out. Raises OSError.
    Asks the resolver for a name: for a thread.
    """
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        left = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        while left:
            family, address = left.pop(0)
            try:
                sock = socket.create_server(
                    address, family=family, backlog=backlog, reuse_port=shared
                )
            except OSError as error:
                absent = family == socket.AF_INET6 and error.errno in _NO_FAMILY
                if not absent or not (left or made):
                    # Python adds the address once more, as itself would write it.
                    raise OSError(error.errno, os.strerror(error.errno or 0)) from None
                continue
            made.append(sock)
            sock.settimeout(0)
            # What is accepted inherits it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made
