"""An occasion in words, the same for every receiver: a title and a few facts. Pure.

Lengths are bounded here, and every character that is not printable is escaped; what a receiver
reads as markup is the business of its own file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from guard.lib.durations import format_duration
from guard.lib.timestamps import rfc3339
from guard.reporters.notify.values import Count, Digest, Notice, Occasion

LONGEST = 300  # characters of one text
MOST = 10  # lines of one list in a digest; the counts above them are of all


class Fact(NamedTuple):
    """A name and a text, which may have several lines."""

    name: str
    text: str


class Card(NamedTuple):
    """What is said: one line, and what there is to it."""

    title: str
    facts: tuple[Fact, ...]


def card(occasion: Occasion) -> Card:
    """The words for `occasion`."""
    what = occasion.what
    on = f" on {clean(occasion.host)}" if occasion.host else ""
    if isinstance(what, Digest):
        return Card(f"{_happened(what)}{on}", tuple(_digest(what)))
    return Card(f"{_title(what)}{on}", tuple(_notice(what)))


def clean(text: str, most: int = LONGEST) -> str:
    """`text` on one line and not longer than `most`; what cannot be seen is escaped."""
    shown = "".join(c if c.isprintable() else _escaped(c) for c in text[:most])
    return shown if len(shown) <= most and len(text) <= most else shown[: most - 1] + "…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()


def moment(seconds: float) -> str:
    """`2025-09-12 11:08:01 UTC`."""
    return rfc3339(seconds // 1).replace("T", " ").replace("Z", " UTC")


def number(count: int) -> str:
    """`12,345`."""
    return f"{count:,}"


def plural(count: int, one: str, many: str) -> str:
    """`1 ban`, `2 bans`."""
    return f"{number(count)} {one if count == 1 else many}"


def _title(notice: Notice) -> str:
    if notice.event == "test":
        return "A test of Guard's notifications"
    if notice.event == "unban":
        return f"Un-banned {notice.network}"
    return f"Banned {notice.network} {_length(notice)}"


def _length(notice: Notice) -> str:
    if notice.until is None:
        return "for ever"
    return f"for {format_duration(notice.until - notice.since)}"


def _notice(notice: Notice) -> Iterator[Fact]:
    if notice.event == "test":
        yield Fact("Meaning", "Nothing happened. Bans and un-bans will look like this.")
        return
    yield Fact("By", clean(notice.source))
    if notice.reason:
        yield Fact("Reason", clean(notice.reason))
    yield Fact("Since", moment(notice.since))
    if notice.event == "unban":
        yield Fact("Why", "lifted before its time" if notice.lifted else "its time is over")
    elif notice.until is not None:
        yield Fact("Until", moment(notice.until))
    if notice.strikes:
        yield Fact("Strikes", number(notice.strikes))


def _happened(digest: Digest) -> str:
    bans = plural(digest.bans, "ban", "bans")
    unbans = plural(digest.unbans, "un-ban", "un-bans")
    return f"{bans}, {unbans} in {format_duration(max(1.0, digest.time - digest.since))}"


def _digest(digest: Digest) -> Iterator[Fact]:
    yield Fact("Since", moment(digest.since))
    yield Fact("To", moment(digest.time))
    if digest.sources:
        yield Fact("Bans by", _counts(digest.sources))
    if digest.kinds:
        yield Fact("Rejections", _counts(digest.kinds))
    if digest.top:
        lines = [f"{o.network}: {plural(o.bans, 'ban', 'bans')}" for o in digest.top]
        strikes = [
            f", {plural(o.strikes, 'strike', 'strikes')}" if o.strikes else "" for o in digest.top
        ]
        shown = [line + more for line, more in zip(lines, strikes, strict=True)]
        yield Fact("Most banned", "\n".join(shown[:MOST]))
    if digest.feeds:
        changes = [
            f"{clean(f.name, 80)}: +{number(f.came)} -{number(f.went)}" for f in digest.feeds
        ]
        yield Fact("Lists", _listed(changes))
    if digest.lost:
        yield Fact("Not told", f"{plural(digest.lost, 'notice', 'notices')} waited too long")


def _counts(counts: Sequence[Count]) -> str:
    return _listed([f"{clean(c.name, 80)}: {number(c.number)}" for c in counts])


def _listed(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - MOST} more"] if len(lines) > MOST else []
    return "\n".join([*lines[:MOST], *more])
