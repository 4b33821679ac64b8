r"""The body for a Discord webhook (docs.discord.com, "Execute Webhook", "Embed Limits"). Pure.

One embed. Discord reads markdown in it, so that every character that can be markup has a backslash;
`allowed_mentions` with nothing in `parse` lets no text mention anybody, and there is a character
behind each `@` all the same.
"""

from __future__ import annotations

import json
import re

from guard.reporters.notify.values import Digest, Occasion
from guard.reporters.notify.words import card

# Discord's limits in UTF-16 units; ours are characters, and what is told is hardly beyond ASCII.
TITLE, DESCRIPTION = 256, 4096
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:/])")
_COLOURS = {"ban": 0xC0392B, "unban": 0x2E8B57, "test": 0x7F8C8D, "digest": 0x2C6FBB}
_WORD_JOINER = "\u2060"


def body(occasion: Occasion) -> bytes:
    """The whole body."""
    title, facts = card(occasion)
    lines = [f"**{name}**: {', '.join(map(escaped, text.splitlines()))}" for name, text in facts]
    event = "digest" if isinstance(occasion.what, Digest) else occasion.what.event
    message = {
        "allowed_mentions": {"parse": []},
        "embeds": [
            {
                "title": _bounded([escaped(title)], TITLE),
                "description": _bounded(lines, DESCRIPTION),
                "color": _COLOURS[event],
            }
        ],
    }
    return json.dumps(message).encode("ascii")


def escaped(text: str) -> str:
    """`text` as Discord shows it literally."""
    return _MARKUP.sub(r"\\\1", text).replace("@", "@" + _WORD_JOINER)


def _bounded(lines: list[str], most: int) -> str:
    """As many whole lines as fit; a line that does not fit by itself is cut, not in an escape."""
    kept: list[str] = []
    room = most - 1  # for the sign that something is missing
    for line in lines:
        if room < 0:
            kept[-1] += "…"
            break
        if len(line) > room:
            cut = line[:room]
            loose = len(cut) - len(cut.rstrip("\\"))
            kept.append(cut[: len(cut) - loose % 2] + "…")
            break
        kept.append(line)
        room -= len(line) + 1
    return "\n".join(kept)
