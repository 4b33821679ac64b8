"""Addresses and prefixes as small values: parsed strictly, compared as integers.

An address is its canonical text (RFC 5952 for IPv6); an IPv4-mapped IPv6 address is the IPv4 one.
A `Network` is (version, first address as an integer, prefix length), so that it sorts, hashes and
packs without an object per address. The ipaddress module is correct but costs some microseconds a
value, which a list of a million entries cannot afford.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_ntoa, inet_ntop, inet_pton
from struct import unpack
from typing import NamedTuple

_BITS = {4: 32, 6: 128}
_MAPPED = bytes(10) + b"\xff\xff"


class Network(NamedTuple):
    """A CIDR block. `value` has no bit set below `length`; a single address has the full length."""

    version: int
    value: int
    length: int

    @property
    def bits(self) -> int:
        """32 for IPv4, 128 for IPv6."""
        return _BITS[self.version]

    @property
    def last(self) -> int:
        """The last address as an integer."""
        return self.value | ((1 << (_BITS[self.version] - self.length)) - 1)

    @property
    def is_address(self) -> bool:
        """Whether this is one address."""
        return self.length == _BITS[self.version]

    @property
    def packed(self) -> bytes:
        """The first address in network byte order."""
        return self.value.to_bytes(_BITS[self.version] // 8, "big")

    def covers(self, other: Network) -> bool:
        """Whether every address of `other` lies in this one."""
        return (
            other.version == self.version
            and self.length <= other.length
            and self.value <= other.value <= self.last
        )

    def overlaps(self, other: Network) -> bool:
        """Whether they share an address."""
        return self.covers(other) or other.covers(self)

    def supernet(self, length: int) -> Network:
        """The block of `length` that holds this one; itself when it is as wide already."""
        if length >= self.length:
            return self
        shift = _BITS[self.version] - length
        return Network(self.version, self.value >> shift << shift, length)

    def __str__(self) -> str:
        """`192.0.2.1` for an address, `192.0.2.0/24` for a block."""
        version, value, length = self
        if version == 4:  # three times as fast as by the properties, and said for every ban
            text = inet_ntoa(value.to_bytes(4, "big"))
            return text if length == 32 else f"{text}/{length}"
        text = inet_ntop(AF_INET6, self.packed)
        return text if length == 128 else f"{text}/{length}"


def _pack(text: str) -> bytes:
    """Four or sixteen bytes; IPv4-mapped IPv6 becomes four. Raises OSError or ValueError."""
    if ":" not in text:
        return inet_pton(AF_INET, text)
    packed = inet_pton(AF_INET6, text)
    return packed[12:] if packed.startswith(_MAPPED) else packed


def _unpack(packed: bytes) -> Network:
    version, bits = (4, 32) if len(packed) == 4 else (6, 128)
    return Network(version, int.from_bytes(packed, "big"), bits)


@lru_cache(maxsize=65536)
def parse_address(text: str) -> Network:
    """The single address that `text` names.

    Raises ValueError when it is none: no names, no blanks, no zone, no port, no leading zeros.
    """
    return read_address(text)


def is_address(text: str) -> bool:
    """Whether `text` writes an address."""
    try:
        parse_address(text)
    except ValueError:
        return False
    return True


def read_address(text: str) -> Network:
    """As `parse_address`, for a caller that remembers by itself."""
    try:
        if ":" not in text:
            # Half the cost of a named tuple's own: there are millions.
            return tuple.__new__(Network, (4, int.from_bytes(inet_pton(AF_INET, text), "big"), 32))
        return _unpack(_pack(text))
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IP address") from None


def read_addresses(texts: Collection[str]) -> dict[str, Network | None]:
    """`read_address` of each of `texts`, several times faster; None where it is none."""
    plain = [text for text in texts if ":" not in text]
    try:
        packed = b"".join([inet_pton(AF_INET, text) for text in plain])
    except (OSError, ValueError):
        return {text: _read_or_none(text) for text in texts}
    new = tuple.__new__
    values = unpack(f">{len(plain)}I", packed)
    found: dict[str, Network | None] = dict(
        zip(plain, [new(Network, (4, value, 32)) for value in values], strict=True)
    )
    if len(found) < len(texts):
        found.update({text: _read_or_none(text) for text in texts if ":" in text})
    return found


def _read_or_none(text: str) -> Network | None:
    try:
        return read_address(text)
    except ValueError:
        return None


def parse_network(text: str) -> Network:
    """The address or CIDR block that `text` names, strictly, as KumoMTA reads `relay_hosts`.

    Raises ValueError; where the host part is not zero it names the block that was probably meant.
    """
    host, slash, tail = text.partition("/")
    address = parse_address(host)
    if not slash:
        return address
    if not (tail.isascii() and tail.isdigit() and len(tail) <= 3):
        raise ValueError(f"{text!r} is not a valid CIDR: the prefix length must be a number")
    length = int(tail)
    if ":" in host and address.version == 4:
        length -= 96  # ::ffff:192.0.2.0/120 is 192.0.2.0/24
    if not 0 <= length <= address.bits:
        raise ValueError(f"{text!r} is not a valid CIDR: prefix length out of range")
    network = address.supernet(length)
    if network.value != address.value:
        raise ValueError(
            f"{text} is not a valid CIDR: host part of address was not zero. "
            f"Did you mean {network}?"
        )
    return network


def canonical_address(text: str) -> str:
    """`text` as every other part of Guard writes the same address. Raises ValueError."""
    if ":" in text:
        return str(parse_address(text))
    try:
        inet_pton(AF_INET, text)
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IP address") from None
    return text  # of IPv4 there is one way to write it that inet_pton reads
