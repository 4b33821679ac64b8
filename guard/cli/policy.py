"""`guard policy`: Postfix asks about each client (SMTPD_POLICY_README), and is told of the banned.

Run by Postfix's spawn(8), which speaks over stdin and stdout. Knows the list that `guard export
bans` writes, and nothing else. Where that is missing or damaged everybody gets in: DUNNO.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from guard.lib.prefixes import Prefixes

# RFC 3463 4.7.0: the client may come back when its ban is over.
REPLY = "421 4.7.0 too many refused attempts"
# Attributes are short; who sends more is not Postfix, and is heard no further.
_LINE = 8192


class Bans:
    """The networks in a file, read again when it was replaced."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: tuple[int, int] | None = None
        self._networks: Prefixes | None = None

    def hold(self, address: str) -> bool:
        """Whether `address` is banned; never raises."""
        from guard.lib.networks import parse_address

        try:
            self._read()
            return self._networks is not None and self._networks.covers(parse_address(address))
        except (OSError, ValueError):
            return False

    def _read(self) -> None:
        from guard.lib.networks import parse_network
        from guard.lib.prefixes import Prefixes

        state = self._file.stat()
        now = (state.st_mtime_ns, state.st_ino)
        if now != self._seen:
            self._seen, self._networks = now, None
            lines = self._file.read_text("utf-8").split()
            self._networks = Prefixes(parse_network(line) for line in lines)


def answers(lines: Iterable[bytes], bans: Bans, reply: str) -> Iterator[str]:
    """One answer for each request; a request is lines of name=value and an empty one."""
    client = ""
    for line in lines:
        name, _, value = line.rstrip(b"\r\n").partition(b"=")
        if name == b"client_address":
            client = value.decode("ascii", "replace")
        elif not name:
            yield f"action={reply if bans.hold(client) else 'DUNNO'}\n\n"
            client = ""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--reply", default=REPLY, show_default=True, help="What the banned hear.")
def policy(file: Path, reply: str) -> None:
    """Answer Postfix's policy requests from FILE, which `guard export bans` keeps.

    For spawn(8) in master.cf; see docs/servers.md.
    """
    lines = iter(lambda: sys.stdin.buffer.readline(_LINE), b"")
    for answer in answers(lines, Bans(file), reply):
        sys.stdout.write(answer)
        sys.stdout.flush()
