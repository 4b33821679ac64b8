"""The JSON of a webhook: what docs/reporting.md documents, for programs. Pure.

Members are only ever added. ASCII, one line.
"""

from __future__ import annotations

import json
from typing import Any

from guard.reporters.notify.values import Digest, Notice, Occasion
from guard.reporters.notify.words import card, clean

VERSION = 1


def body(occasion: Occasion) -> bytes:
    """The whole body."""
    what = occasion.what
    words = card(occasion)
    members = {
        "version": VERSION,
        "id": occasion.id,
        "event": "digest" if isinstance(what, Digest) else what.event,
        "time": int(what.time),
        **({"host": clean(occasion.host)} if occasion.host else {}),
        **(_digest(what) if isinstance(what, Digest) else _notice(what)),
        "title": words.title,
        "text": "\n".join(f"{name}: {', '.join(text.splitlines())}" for name, text in words.facts),
    }
    return json.dumps(members, separators=(",", ":")).encode("ascii")


def _notice(notice: Notice) -> dict[str, Any]:
    if notice.network is None:
        return {}
    return {
        "address": str(notice.network._replace(length=notice.network.bits)),
        "network": str(notice.network),
        "source": clean(notice.source),
        "reason": clean(notice.reason),
        "since": int(notice.since),
        "until": None if notice.until is None else int(notice.until),
        "strikes": notice.strikes,
        **({"lifted": notice.lifted} if notice.event == "unban" else {}),
    }


def _digest(digest: Digest) -> dict[str, Any]:
    return {
        "since": int(digest.since),
        "bans": digest.bans,
        "unbans": digest.unbans,
        "sources": {clean(name): count for name, count in digest.sources},
        "kinds": dict(digest.kinds),
        "top": [often._asdict() for often in digest.top],
        "feeds": [{**change._asdict(), "name": clean(change.name)} for change in digest.feeds],
        "lost": digest.lost,
    }
