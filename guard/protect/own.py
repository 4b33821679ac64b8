"""This machine's own addresses, its gateways and its name servers: a block of one cuts it off.

What the kernel says is read over netlink, name servers from resolv.conf. `decide` is the pure
part. Reading fails softly: a machine that hides its interfaces protects what it can name.
"""

from __future__ import annotations

import logging
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guard.lib.networks import Network, parse_address

log = logging.getLogger(__name__)

# systemd-resolved keeps the real servers in its own file; the first names only 127.0.0.53.
RESOLV_CONF = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
# linux/netlink.h, linux/rtnetlink.h
_NETLINK_ROUTE, _SOL_NETLINK, _STRICT_CHECK = 0, 270, 12
_GET_ROUTE, _DUMP, _ERROR, _DONE, _UNICAST = 26, 0x301, 2, 3, 1
_HEADER, _ROUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBBBBBI")
_TYPE = _HEADER.size + 7  # where a message of a route says what type it is


@dataclass(frozen=True, slots=True)
class Here:
    """What this machine is made of, as text from kernel and files."""

    addresses: Sequence[str] = ()
    gateways: Sequence[str] = ()
    name_servers: Sequence[str] = ()


def decide(here: Here, servers: Iterable[str] = ()) -> list[tuple[Network, str]]:
    """The addresses of `here`, each once, with why; what is no address is passed over.

    `servers` are name servers of the configuration, beside those of resolv.conf.
    """
    found: dict[Network, str] = {}
    for texts, why in (
        (here.addresses, "own address"),
        (here.gateways, "gateway"),
        ([*here.name_servers, *servers], "name server"),
    ):
        for network in _parsed(texts):
            found.setdefault(network, why)
    return list(found.items())


def _parsed(texts: Iterable[str]) -> Iterable[Network]:
    for text in texts:
        try:
            yield parse_address(text.partition("%")[0])  # fe80::1%eth0
        except ValueError:
            continue


def name_servers(text: str) -> list[str]:
    """The addresses on the `nameserver` lines of a resolv.conf(5)."""
    lines = (line.split() for line in text.splitlines())
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def read(resolv_conf: Sequence[Path] = RESOLV_CONF) -> Here:
    """What this machine is now. Needs no privilege."""
    servers: list[str] = []
    for path in resolv_conf:
        try:
            servers += name_servers(path.read_text("utf-8", "replace"))
        except OSError:
            continue
    addresses, gateways = _netlink()
    return Here(addresses, gateways, servers)


def _netlink() -> tuple[list[str], list[str]]:
    """(addresses, gateways) as the kernel has them in this network namespace."""
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    addresses: list[str] = []
    gateways: list[str] = []
    try:
        with IPRoute() as ipr:
            # IFA_ADDRESS is the peer's on a point-to-point link; IFA_LOCAL is ours.
            addresses += [m.get("IFA_LOCAL") or m.get("IFA_ADDRESS") or "" for m in ipr.get_addr()]
        for message in _routes():
            gateways += _hops(message)
    except (OSError, NetlinkError) as error:
        log.warning("cannot read this machine's addresses: %s", error)
    return addresses, gateways


def _routes() -> Iterator[Any]:
    """The routes that lead somewhere.

    Null routes, of which the back end `blackhole` may have laid a hundred thousand, take pyroute2
    fifteen seconds to read and have no gateway: the kernel is asked to leave them out.
    """
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    for family in (socket.AF_INET, socket.AF_INET6):
        asked = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, _UNICAST, 0)
        head = _HEADER.pack(_HEADER.size + len(asked), _GET_ROUTE, _DUMP, 1, 0)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as sock:
            with suppress(OSError):  # before Linux 4.20 all routes come, and are passed over here
                sock.setsockopt(_SOL_NETLINK, _STRICT_CHECK, 1)
            sock.send(head + asked)
            for message in _messages(sock):
                if message[_TYPE] == _UNICAST:
                    route = rtmsg(message)
                    route.decode()
                    yield route


def _messages(sock: socket.socket) -> Iterator[bytes]:
    """The kernel's answers to one dump."""
    while True:
        data, at = sock.recv(1 << 16), 0
        while at + _HEADER.size <= len(data):
            size, kind, *_ = _HEADER.unpack_from(data, at)
            if kind in (_ERROR, _DONE) or size < _HEADER.size:
                return
            yield data[at : at + size]
            at += size + -size % 4


def _hops(route: Any) -> list[str]:
    """The next hops of one route message, of multipath and IPv4-via-IPv6 routes too."""
    via = route.get("RTA_VIA") or {}
    hops = [hop.get("RTA_GATEWAY") for hop in route.get("RTA_MULTIPATH") or ()]
    return [h for h in (route.get("RTA_GATEWAY"), via.get("addr"), *hops) if isinstance(h, str)]
