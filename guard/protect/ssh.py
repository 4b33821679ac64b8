"""Who has an SSH session to this machine open: an operator at work is never cut off.

Read from /proc/net/tcp and tcp6 (proc(5)), which list this network namespace. A connection counts
while it is established; whoever connects without logging in is dropped by sshd after its
LoginGraceTime, and is protected no longer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from socket import AF_INET, AF_INET6, inet_ntop

from guard.lib.networks import Network, parse_address

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED = "01"
_STATE = f" {_ESTABLISHED} "


def peers(lines: Iterable[str], ports: Collection[int]) -> Iterator[Network]:
    """The remote ends of established connections to local `ports`, from a table's lines."""
    wanted = {f"{port:04X}" for port in ports}
    for line in lines:
        # Under an attack nearly all are waiting to be forgotten, tens of thousands of them.
        if _STATE not in line:
            continue
        words = line.split(None, 4)
        if len(words) < 4 or words[3] != _ESTABLISHED or words[1][-4:] not in wanted:
            continue
        try:
            yield _address(words[2].partition(":")[0])
        except ValueError:
            continue


def _address(text: str) -> Network:
    """An address as the kernel prints it: 32-bit words in hexadecimal, in its own byte order."""
    words = bytes.fromhex(text)
    packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
    # As text, so that an IPv4-mapped address becomes the IPv4 one.
    return parse_address(inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed))


def read(ports: Collection[int], tables: Sequence[Path] = TABLES) -> list[tuple[Network, str]]:
    """Whoever is connected now, with why. A table that cannot be read holds nobody."""
    found: set[Network] = set()
    for table in tables:
        try:
            with table.open(encoding="ascii", errors="replace") as lines:
                found.update(peers(lines, ports))
        except OSError:
            continue
    return [(address, "has an SSH session open") for address in sorted(found)]
