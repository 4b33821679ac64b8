"""The relay policy of one listener, from its files: for the listener and for `guard relay-check`.

Raises ConfigError with every fault of every file.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from guard.lib.networks import Network
from guard.relay.hook import Hook
from guard.relay.hooked import HookPolicy
from guard.relay.listener_domains import load
from guard.relay.policy import StaticPolicy


def relay_policy(
    relay_hosts: Iterable[Network],
    listener_domains: Sequence[Path] = (),
    where: str = "relay_hosts",
    hook: Hook | None = None,
) -> StaticPolicy | HookPolicy:
    """`where` is the file and key of `relay_hosts`, for whoever asks why."""
    files = StaticPolicy(relay_hosts, load(listener_domains), where)
    if hook is not None and hook.has("get_listener_domain"):
        return HookPolicy(hook, files)
    return files
