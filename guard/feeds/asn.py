"""A local table of which networks an autonomous system announces.

Two forms, told apart by the line: `prefix asn` (pyasn's), and `first last asn ...` (iptoasn.com's).
Read when it is needed, for the table is large and the systems asked for are few.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from pathlib import Path

from guard.lib.networks import Network, parse_address, parse_network
from guard.lib.prefixes import span
from guard.roles import Refused

log = logging.getLogger(__name__)


class AsnTable:
    """The table in the file at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def networks(self, systems: Collection[int]) -> list[Network]:
        """What `systems` announce. Raises Refused when the file cannot be read."""
        found: list[Network] = []
        wanted = {str(number) for number in systems}
        try:
            with self._path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    found += _announced(line, wanted)
        except OSError as error:
            raise Refused(f"{self._path}: {error.strerror}") from None
        return found


def _announced(line: str, wanted: Collection[str]) -> Iterator[Network]:
    words = line.split(None, 3)
    try:
        if len(words) > 2 and words[2].removeprefix("AS") in wanted:
            first, last = parse_address(words[0]), parse_address(words[1])
            if first.version == last.version:
                yield from span(first.version, first.value, last.value)
        elif len(words) == 2 and words[1].removeprefix("AS") in wanted:
            yield parse_network(words[0])
    except ValueError:
        return
