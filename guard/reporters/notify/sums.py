"""Digests: what the rows of a book add up to. Every count is of all rows, none is an estimate.

Works on the connection of a transaction that book.py has begun.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from guard.reporters.notify.values import Count, Digest, FeedChange, Often

TOP = 10


def changed(run: sqlite3.Connection, change: FeedChange) -> None:
    """A list changed."""
    run.execute(
        "INSERT INTO feed VALUES (?,?,?) ON CONFLICT(name)"
        " DO UPDATE SET came = came + excluded.came, went = went + excluded.went",
        change,
    )


def add_kinds(run: sqlite3.Connection, counts: Iterable[Count]) -> None:
    """So many more rejections of each kind."""
    run.executemany(
        "INSERT INTO kind VALUES (?,?) ON CONFLICT(name)"
        " DO UPDATE SET count = count + excluded.count",
        counts,
    )


def something(run: sqlite3.Connection) -> bool:
    """Whether anything but rejections is there to be told."""
    sql = (
        "SELECT EXISTS (SELECT 1 FROM notice) OR EXISTS (SELECT 1 FROM feed)"
        " OR EXISTS (SELECT 1 FROM state WHERE name = 'lost' AND value > 0)"
    )
    return bool(run.execute(sql).fetchone()[0])


def digest(run: sqlite3.Connection, since: float | None, now: float) -> Digest:
    """Everything that waits, added up; `since` None is the time of the oldest notice."""
    events = dict(run.execute("SELECT event, count(*) FROM notice GROUP BY event").fetchall())
    oldest = run.execute("SELECT min(time) FROM notice").fetchone()[0]
    lost = run.execute("SELECT value FROM state WHERE name = 'lost'").fetchone()
    sources = (
        "SELECT source, count(*) FROM notice WHERE event = 'ban' GROUP BY source ORDER BY 2 DESC, 1"
    )
    top = (
        "SELECT network, count(*), max(strikes) FROM notice WHERE event = 'ban'"
        " GROUP BY network ORDER BY 2 DESC, 3 DESC, 1 LIMIT ?"
    )
    return Digest(
        since=since if since is not None else min(oldest or now, now),
        time=now,
        bans=events.get("ban", 0),
        unbans=events.get("unban", 0),
        sources=tuple(Count(*row) for row in run.execute(sources)),
        kinds=tuple(
            Count(*row) for row in run.execute("SELECT name, count FROM kind ORDER BY 2 DESC, 1")
        ),
        top=tuple(Often(*row) for row in run.execute(top, (TOP,))),
        feeds=tuple(FeedChange(*row) for row in run.execute("SELECT * FROM feed ORDER BY name")),
        lost=int(lost[0]) if lost else 0,
    )
