"""A small world of network namespaces: a mail server, an offender and an innocent host.

A namespace belongs to a thread, and a socket to the namespace it was made in. So `inside(name)`
moves the thread that runs the test, and nothing else: sockets, netlink and programs started within
it live there, and the test goes on outside afterwards. Names carry the process id, so that tests
run side by side.
"""

import ctypes
import errno
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NET = 0x40000000
_NUMBERS = count()
# How long a connection may take to be made, or else it was dropped.
PATIENCE = 0.4
# How many connections are tried before they count as dropped.
TRIES = 3
# Nobody listens there: whoever is let through is refused at once.
CLOSED = 9


def ip(*arguments: str) -> None:
    """Runs ip(8), which must succeed."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@contextmanager
def inside(name: str) -> Iterator[None]:
    """Runs the calling thread in a network namespace, and moves it back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open(f"/run/netns/{name}", os.O_RDONLY)
    try:
        _enter(there)
        yield
    finally:
        _enter(home)
        os.close(there)
        os.close(home)


def _enter(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _NEW_NET):
        raise OSError(ctypes.get_errno(), "setns")


class Host:
    """A client host with an address of each family, alone on its link to the server.

    It has a witness's addresses beside them, which nobody blocks.
    """

    def __init__(self, name: str, v4: str, v6: str, number: int) -> None:
        self.name, self.v4, self.v6 = name, v4, v6
        self.witness4, self.witness6 = f"10.255.{number}.10", f"fd00:{number}::10"

    def connects(self, address: str, port: int = 25, source: str | None = None) -> bool:
        """Whether a TCP connection to `address` is made in time; `source` is whence."""
        with inside(self.name), self._from(address, source) as sock:
            sock.settimeout(PATIENCE)
            try:
                sock.connect((address, port))
            except OSError:
                return False
            return True

    def dropped(self, address: str, port: int = 25, source: str | None = None) -> bool:
        """Whether connections to `address` go unanswered, told without waiting for an answer.

        A link keeps the order. So after each attempt a witness asks there too, over the same way,
        and is refused: by then the attempt would have had its answer.
        """
        with inside(self.name), ExitStack() as stack:
            attempts = []
            for _ in range(TRIES):
                sock = stack.enter_context(self._from(address, source))
                sock.setblocking(False)
                if sock.connect_ex((address, port)) != errno.EINPROGRESS:
                    return False
                attempts.append(sock)
                self._ask_as_witness(address)
            return not select.select([], attempts, [], 0)[1]

    def _from(self, address: str, source: str | None) -> socket.socket:
        """A socket that would go to `address`."""
        six = ":" in address
        sock = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
        sock.bind((source or (self.v6 if six else self.v4), 0))
        return sock

    def _ask_as_witness(self, address: str) -> None:
        with self._from(address, self.witness6 if ":" in address else self.witness4) as sock:
            sock.settimeout(10.0)
            with suppress(ConnectionRefusedError):
                sock.connect((address, CLOSED))
                raise AssertionError(f"somebody listens at port {CLOSED}")


class World:
    """A server that listens on `ports`, and two hosts that can reach it.

    The offender has 192.0.2.10/24 and 2001:db8:1::10/64, and a neighbour's addresses .11 and ::11;
    the innocent host has 198.51.100.10/24 and 2001:db8:2::10/64. The server is .1 and ::1 of both.
    """

    v4, v6 = "192.0.2.1", "2001:db8:1::1"

    def __init__(self, stack: ExitStack, ports: Iterable[int] = (25, 80)) -> None:
        tag = f"g{os.getpid():x}-{next(_NUMBERS)}"
        self.server = f"{tag}-s"
        self.offender = Host(f"{tag}-o", "192.0.2.10", "2001:db8:1::10", 1)
        self.innocent = Host(f"{tag}-i", "198.51.100.10", "2001:db8:2::10", 2)
        self._stack = stack
        self._namespace(self.server)
        self._link(self.offender, "192.0.2.1", "2001:db8:1::1", "e0")
        self._link(self.innocent, "198.51.100.1", "2001:db8:2::1", "e1")
        ip("-n", self.offender.name, "address", "add", "192.0.2.11/24", "dev", "eth0")
        ip(
            *("-n", self.offender.name, "address", "add", "2001:db8:1::11/64"),
            *("dev", "eth0", "nodad"),
        )
        for port in ports:
            self.listen(port)

    def listen(self, port: int, host: str | None = None) -> None:
        """Lets the server accept connections on `port`, as its kernel does: nobody reads them."""
        with inside(host or self.server):
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                listener = self._stack.enter_context(socket.socket(family))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address, port))
                listener.listen(1024)

    def run(self, *command: str, check: bool = True, given: str | None = None) -> str:
        """What a program prints that runs on the server."""
        with inside(self.server):
            done = subprocess.run(
                command, check=check, capture_output=True, text=True, input=given, timeout=60
            )
        return done.stdout

    def _namespace(self, name: str) -> None:
        ip("netns", "add", name)
        self._stack.callback(ip, "netns", "delete", name)
        ip("-n", name, "link", "set", "lo", "up")

    def _link(self, host: Host, v4: str, v6: str, device: str) -> None:
        self._namespace(host.name)
        ip(
            *("-n", self.server, "link", "add", device, "type", "veth"),
            *("peer", "name", "eth0", "netns", host.name),
        )
        witness4, witness6 = (
            host.witness4.replace(".10", ".1"),
            host.witness6.replace("::10", "::1"),
        )
        for name, link, *addresses in (
            (self.server, device, (v4, v6), (witness4, witness6)),
            (host.name, "eth0", (host.v4, host.v6), (host.witness4, host.witness6)),
        ):
            for four, six in addresses:
                ip("-n", name, "address", "add", f"{four}/24", "dev", link)
                ip("-n", name, "address", "add", f"{six}/64", "dev", link, "nodad")
            ip("-n", name, "link", "set", link, "up")
        ip("-n", host.name, "route", "add", "default", "via", v4)
        ip("-n", host.name, "-6", "route", "add", "default", "via", v6)


@contextmanager
def reachable_world() -> Iterator[World]:
    """A server and two hosts that reach it, over both families."""
    with ExitStack() as stack:
        made = World(stack)
        settle(made)
        yield made


def settle(made: World) -> None:
    """Waits until both hosts reach the server over both families."""
    for host in (made.offender, made.innocent):
        for address in (made.v4, made.v6):
            assert eventually(lambda h=host, a=address: h.connects(a)), f"{host.name} to {address}"


def eventually(happens, seconds: float = 10.0) -> bool:
    """Whether `happens()` comes true before the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happens():
            return True
        time.sleep(0.02)
    return False
