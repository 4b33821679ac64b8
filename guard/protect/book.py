"""What the senders' SPF records said when last asked, kept in the state directory.

One JSON file, replaced by rename. What is in it has been through `spf.bounded`; a file that cannot
be read is as good as none, because the shipped ranges are protected all the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import Prefixes
from guard.protect.dns import Ask
from guard.protect.senders import Sender
from guard.protect.spf import BadSpf, bounded, listed
from guard.roles import Unavailable

log = logging.getLogger(__name__)
NAME = "senders.json"
SILENT = 3


@dataclass(frozen=True, slots=True)
class Learnt:
    """One sender's networks as of `time`; `fault` is why the last try failed, or empty."""

    time: float = 0.0
    networks: tuple[Network, ...] = ()
    fault: str = ""


Book = dict[str, Learnt]


class _Row(msgspec.Struct):
    time: float
    networks: list[str]
    fault: str = ""


def load(path: Path) -> Book:
    """The book at `path`; an empty one when there is none."""
    try:
        rows = msgspec.json.decode(path.read_bytes(), type=dict[str, _Row])
        return {
            name: Learnt(row.time, tuple(map(parse_network, row.networks)), row.fault)
            for name, row in rows.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        log.warning("%s is passed over: %s", path, error)
        return {}


def save(path: Path, book: Book) -> None:
    """Replaces the file at `path`. Raises OSError."""
    rows = {
        name: _Row(learnt.time, list(map(str, learnt.networks)), learnt.fault)
        for name, learnt in book.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(rows)))
    new.replace(path)


def refresh(senders: Iterable[Sender], book: Book, ask: Ask, bogons: Prefixes, now: float) -> Book:
    """The book after every sender has been asked for; a failure keeps what was known.

    When the DNS does not answer for SILENT senders in a row, the others are not asked for.
    """
    found: Book = {}
    silent = 0
    for sender in senders:
        if not sender.spf:
            continue
        old = book.get(sender.name, Learnt())
        try:
            found[sender.name] = _learnt(sender, ask if silent < SILENT else _nobody, bogons, now)
            silent = 0
        except (BadSpf, Unavailable) as error:
            found[sender.name] = Learnt(old.time, old.networks, str(error))
            silent = silent + 1 if isinstance(error, Unavailable) else 0
    return found


def _nobody(_name: str, _kind: str) -> list[str]:
    raise Unavailable("not asked for: the DNS does not answer")


def _learnt(sender: Sender, ask: Ask, bogons: Prefixes, now: float) -> Learnt:
    found = [network for domain in sender.spf for network in listed(domain, ask)]
    return Learnt(now, tuple(bounded(sender.networks, found, bogons)))


def entries(book: Book, without: Iterable[str] = ()) -> list[tuple[Network, str]]:
    """Each network with why it is protected."""
    left_out = set(without)
    return [
        (network, f"mail sender {name}")
        for name, learnt in book.items()
        if name not in left_out
        for network in learnt.networks
    ]
