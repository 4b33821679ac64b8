"""The last addresses of allowed names, and of allowed reverse names, kept in the state directory.

So that a restart while the DNS is down blocks nobody who was allowed before. A file that cannot be
read is none: the names are asked for within a second anyway.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from guard.lib.networks import Network, parse_address

log = logging.getLogger("guard.protect")
NAME, REVERSE = "names.json", "reverse.json"


def load(path: Path) -> dict[str, tuple[Network, ...]]:
    """What is known of each name; nothing when there is no file."""
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=dict[str, list[str]])
        return {name: tuple(map(parse_address, texts)) for name, texts in rows.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("%s is passed over: %s", path, error)
        return {}


def save(path: Path, names: Mapping[str, tuple[Network, ...]]) -> None:
    """Replaces the file; a disk that does not take it costs only the memory, and a line."""
    rows = {name: list(map(str, some)) for name, some in names.items()}
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
        new.replace(path)
    except OSError as error:
        log.warning("cannot keep %s: %s", path, error)
