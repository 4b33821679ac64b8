"""What one notifier has still to tell, on disk: it survives a restart and a kill.

Rows of one SQLite file. `notice` has what happened and is in no message yet, `message` the one
message that is being sent, whose id and body no longer change, `told` the bans whose end is to be
told. What goes from `notice` into `message` does so in one transaction: nothing is told again under
another id, and nothing is forgotten. (The outbox of reports keeps single payloads; here many become
one, which has to be one step.)

May be used by several threads. Raises what the file raises: Unavailable, Refused.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from guard.events import Claim
from guard.lib.networks import Network, parse_network
from guard.reporters.notify.pace import Pace
from guard.reporters.notify.sums import add_kinds, changed, digest, something
from guard.reporters.notify.values import Count, Digest, FeedChange, Happening, Notice
from guard.reporters.outbox import File

VERSION = 1
MOST = 100_000  # notices that wait; beyond, the oldest are counted as lost
SCHEMA = """
    CREATE TABLE notice (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT, time REAL, network TEXT, source TEXT,
        reason TEXT, since REAL, until REAL, strikes INTEGER, lifted INTEGER);
    CREATE TABLE message (
        id TEXT PRIMARY KEY, created REAL, attempts INTEGER, due REAL, notices INTEGER, body BLOB);
    CREATE TABLE told (
        network TEXT, source TEXT, reason TEXT, since REAL, until REAL, strikes INTEGER,
        PRIMARY KEY (network, source)) WITHOUT ROWID;
    CREATE INDEX told_until ON told (until);
    CREATE TABLE kind (name TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID;
    CREATE TABLE feed (name TEXT PRIMARY KEY, came INTEGER, went INTEGER) WITHOUT ROWID;
    CREATE TABLE state (name TEXT PRIMARY KEY, value REAL) WITHOUT ROWID
"""
_NOTICE = "event, time, network, source, reason, since, until, strikes, lifted"


class Gone(NamedTuple):
    """Nobody claims `network` any more, since `time`."""

    network: Network
    time: float


Happened = Claim | Gone | FeedChange | Count
"""A ban, the end of all bans of a network, a list that changed, so many rejections of a kind."""

Render = Callable[[Notice | Digest], bytes]


@dataclass(frozen=True, slots=True)
class Message:
    """One message, whole. `notices` is how many are in it."""

    id: str
    created: float
    attempts: int
    due: float
    notices: int
    body: bytes


class Book:
    """What waits in `file`, which was opened with SCHEMA. Events of `on` are told."""

    def __init__(
        self, file: File, on: Collection[Happening] = ("ban", "unban"), *, most: int = MOST
    ) -> None:
        self._file, self._on, self._most = file, on, most
        self._lock = threading.Lock()
        self._waiting: int = file.query("SELECT count(*) FROM notice")[0][0]

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._file.close()

    @property
    def waiting(self) -> int:
        """How many notices are in no message yet."""
        return self._waiting

    def note(self, batch: Sequence[Happened]) -> None:
        """Keeps what happened."""
        with self._writing() as run:
            for one in batch:
                if isinstance(one, Claim):
                    self._ban(run, one)
                elif isinstance(one, Gone):
                    self._unban(run, one)
                elif isinstance(one, FeedChange):
                    changed(run, one)
                else:
                    add_kinds(run, [one])
            self._trim(run)

    def suspects(self, after: str, now: float, most: int) -> list[Network]:
        """Networks whose ban was told and may be over: by their time, and others in turn.

        The turn goes on behind `after`, a network's text; where there are no more it is empty.
        """
        sql = "SELECT DISTINCT network FROM told WHERE"
        with self._lock:
            over = self._file.query(f"{sql} until <= ? ORDER BY until LIMIT ?", (now, most))
            rest = self._file.query(f"{sql} network > ? ORDER BY network LIMIT ?", (after, most))
        return [parse_network(text) for (text,) in dict.fromkeys([*over, *rest])]

    def message(self) -> Message | None:
        """The message that is being sent."""
        sql = "SELECT id, created, attempts, due, notices, body FROM message LIMIT 1"
        with self._lock:
            rows = self._file.query(sql)
        return Message(*rows[0]) if rows else None

    def compose_one(self, id_: str, render: Render, pace: Pace, now: float) -> None:
        """Makes the oldest notice the message."""
        with self._writing() as run:
            sql = f"SELECT seq, {_NOTICE} FROM notice ORDER BY seq LIMIT 1"  # noqa: S608
            seq, *row = run.execute(sql).fetchone()
            _put(run, Message(id_, now, 0, now, 1, render(_notice(*row))))
            run.execute("DELETE FROM notice WHERE seq = ?", (seq,))
            self._waiting -= 1
            _set_pace(run, pace)

    def compose_all(
        self, id_: str, render: Render, pace: Pace, now: float, *, since: float | None = None
    ) -> None:
        """Makes all that waits one message; `since` None is the time of the oldest notice."""
        with self._writing() as run:
            body = render(digest(run, since, now))
            _put(run, Message(id_, now, 0, now, self._waiting, body))
            for table in ("notice", "kind", "feed"):
                run.execute(f"DELETE FROM {table}")  # noqa: S608
            self._waiting = 0
            _set(run, "lost", 0)
            _set(run, "digest", now)
            _set_pace(run, pace)

    def defer(self, message: Message, due: float) -> None:
        """The message was tried in vain, and is to be tried again then."""
        with self._writing() as run:
            sql = "UPDATE message SET attempts = attempts + 1, due = ? WHERE id = ?"
            run.execute(sql, (due, message.id))

    def done(self, message: Message) -> None:
        """The message was delivered, or is given up."""
        with self._writing() as run:
            run.execute("DELETE FROM message WHERE id = ?", (message.id,))

    def expire(self, before: float) -> int:
        """Gives up notices from before then; returns how many. The next digest says so too."""
        with self._writing() as run:
            gone = run.execute("DELETE FROM notice WHERE time < ?", (before,)).rowcount
            self._waiting -= gone
            _set(run, "lost", _value(run, "lost") + gone)
        return gone

    def pace(self) -> Pace:
        """The pace as it was last set."""
        with self._writing() as run:
            since, used, held = (_value(run, name) for name in ("since", "used", "held"))
        return Pace(since, int(used), bool(held))

    def keep_pace(self, pace: Pace) -> None:
        """Sets it."""
        with self._writing() as run:
            _set_pace(run, pace)

    def collecting(self, now: float) -> float:
        """Since when a digest is collected; the first time, and after a clock's jump, from now."""
        with self._writing() as run:
            since = _value(run, "digest")
            if not 0 < since <= now:
                since = now
                _set(run, "digest", now)
        return since

    def anything(self) -> bool:
        """Whether a digest has something to say; rejections that banned nobody are nothing."""
        with self._writing() as run:
            return something(run)

    def collect_anew(self, now: float) -> None:
        """Nothing happened until now: the next digest begins here."""
        with self._writing() as run:
            run.execute("DELETE FROM kind")
            _set(run, "digest", now)

    def _ban(self, run: sqlite3.Connection, claim: Claim) -> None:
        network = str(claim.network)
        said = (claim.source, claim.reason, claim.since, claim.until, claim.strikes)
        run.execute("INSERT OR REPLACE INTO told VALUES (?,?,?,?,?,?)", (network, *said))
        if "ban" in self._on:
            source, reason, *rest = said
            self._add(run, ("ban", claim.since, network, source, reason, *rest, False))

    def _unban(self, run: sqlite3.Connection, gone: Gone) -> None:
        """Of a ban that was not told there is nothing to tell."""
        network = str(gone.network)
        sql = (
            "SELECT source, reason, since, until, strikes FROM told WHERE network = ?"
            " ORDER BY since DESC LIMIT 1"
        )
        row = run.execute(sql, (network,)).fetchone()
        if row is None:
            return
        run.execute("DELETE FROM told WHERE network = ?", (network,))
        if "unban" in self._on:
            lifted = row[3] is None or gone.time < row[3]
            self._add(run, ("unban", gone.time, network, *row, lifted))

    def _add(self, run: sqlite3.Connection, row: tuple[object, ...]) -> None:
        run.execute(f"INSERT INTO notice ({_NOTICE}) VALUES (?,?,?,?,?,?,?,?,?)", row)  # noqa: S608
        self._waiting += 1

    def _trim(self, run: sqlite3.Connection) -> None:
        over = self._waiting - self._most
        if over > 0:
            sql = "DELETE FROM notice WHERE seq IN (SELECT seq FROM notice ORDER BY seq LIMIT ?)"
            run.execute(sql, (over,))
            self._waiting -= over
            _set(run, "lost", _value(run, "lost") + over)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            before = self._waiting
            try:
                with self._file.transaction() as run:
                    yield run
            except BaseException:
                self._waiting = before
                raise


def _put(run: sqlite3.Connection, message: Message) -> None:
    row = (message.id, message.created, message.attempts, message.due, message.notices)
    run.execute("INSERT INTO message VALUES (?,?,?,?,?,?)", (*row, message.body))


def _set(run: sqlite3.Connection, name: str, value: float) -> None:
    run.execute("INSERT OR REPLACE INTO state VALUES (?,?)", (name, value))


def _value(run: sqlite3.Connection, name: str) -> float:
    row = run.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
    return row[0] if row else 0.0


def _set_pace(run: sqlite3.Connection, pace: Pace) -> None:
    for name, value in (("since", pace.since), ("used", pace.used), ("held", pace.held)):
        _set(run, name, value)


def _notice(
    event: Happening,
    time: float,
    network: str,
    source: str,
    reason: str,
    since: float,
    until: float | None,
    strikes: int,
    lifted: int,
) -> Notice:
    return Notice(
        event=event,
        time=time,
        network=parse_network(network),
        source=source,
        reason=reason,
        since=since,
        until=until,
        strikes=strikes,
        lifted=bool(lifted),
    )
