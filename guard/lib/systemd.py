"""What systemd is told of a service: sd_notify(3), without its library."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger("guard.systemd")


def supervised() -> bool:
    """Whether systemd, or who does as it does, started us: it begins again when we fail."""
    return "NOTIFY_SOCKET" in os.environ


def notify(state: str) -> None:
    """Tells systemd of `state`, as `READY=1`, when it started us and asked to be told."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError as error:
            log.warning("systemd was not told %s: %s", state, error)
