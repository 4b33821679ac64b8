"""A network as the key of a table of millions: an integer of 32 bytes for IPv4, bytes for IPv6.

Both pack into MessagePack as they are and never equal each other.
"""

from __future__ import annotations

from guard.lib.networks import Network

Key = int | bytes


def key_of(network: Network) -> Key:
    """The key of `network`."""
    version, value, length = network
    if version == 4:
        return value << 6 | length
    return value.to_bytes(16, "big") + bytes((length,))


def network_of(key: Key) -> Network:
    """The network whose key is `key`."""
    if isinstance(key, int):  # half the cost of a named tuple's own
        return tuple.__new__(Network, (4, key >> 6, key & 63))
    return Network(6, int.from_bytes(key[:16], "big"), key[16])
