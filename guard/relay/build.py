"""The relay policy of one listener, from its files: for the listener and for `guard relay-check`.

Raises ConfigError with every fault of every file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from guard.lib.networks import Network
from guard.relay.listener_domains import load
from guard.relay.policy import StaticPolicy


def relay_policy(
    relay_hosts: Iterable[Network],
    listener_domains: Sequence[Path] = (),
    where: str = "relay_hosts",
) -> StaticPolicy:
    """`where` is the file and key of `relay_hosts`, for whoever asks why."""
    return StaticPolicy(relay_hosts, load(listener_domains), where)
