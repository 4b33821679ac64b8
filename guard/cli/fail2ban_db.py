"""What fail2ban remembers, as rows of the ledger: its SQLite database, only read.

The tables are fail2ban's since 0.11 (server/database.py): `bips` has for each address and jail the
last ban, its length (-1: for ever) and how many there were. A database of 0.10 and before has only
`bans`. An identifier that is no address (a user, a session) is nothing that Guard could block.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from guard.lib.networks import parse_network
from guard.roles import BadInput, Forbidden

DEFAULT = Path("/var/lib/fail2ban/fail2ban.sqlite3")
_QUERIES = (
    "SELECT ip, jail, timeofban, bantime, bancount FROM bips",
    "SELECT ip, jail, max(timeofban), bantime, count(*) FROM bans GROUP BY ip, jail",
    "SELECT ip, jail, max(timeofban), 600, count(*) FROM bans GROUP BY ip, jail",
)


def rows(path: Path) -> Iterator[list[dict[str, Any]]]:
    """Claim and strikes of each ban that fail2ban remembers. Raises BadInput or Forbidden."""
    try:
        path.stat()
    except PermissionError:
        raise Forbidden(f"not permitted to read {path}") from None
    except OSError:
        raise BadInput(f"there is no database {path}") from None
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = lambda text: text.decode("utf-8", "replace")
            for ip, jail, *times in _read(database):
                yield _rows(str(ip), str(jail), times)
    except (sqlite3.Error, ValueError) as error:
        if "unable to open" in str(error):
            raise Forbidden(f"{path} cannot be opened: {error}") from None
        raise BadInput(f"{path} is no database of fail2ban: {error}") from None


def _read(database: sqlite3.Connection) -> list[tuple[Any, ...]]:
    for query in _QUERIES[:-1]:
        try:
            return database.execute(query).fetchall()
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):
                raise
    return database.execute(_QUERIES[-1]).fetchall()


def _rows(ip: str, jail: str, times: list[Any]) -> list[dict[str, Any]]:
    """Claim and strikes of one ban; of what is none a row that cannot be taken."""
    try:
        network = str(parse_network(ip))
        since, length, number = float(times[0]), float(times[1]), int(times[2])
    except (ValueError, TypeError):
        return [{"network": ip}]
    source, until = f"jail:{jail}", None if length < 0 else since + length
    reason = "taken over from fail2ban"
    return [
        {"network": network, "source": source, "reason": reason, "since": since, "until": until},
        {"network": network, "strikes": {source: max(1, number)}, "ended": until},
    ]
