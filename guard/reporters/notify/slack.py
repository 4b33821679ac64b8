"""The body for a Slack incoming webhook (docs.slack.dev, "Sending messages using incoming
webhooks" and "Block Kit"). Pure.

Blocks hold `plain_text`, in which nothing is markup, and in which `emoji: false` leaves the colons
of an IPv6 address alone. `text`, which notifications show, is mrkdwn: `&`, `<` and `>` are escaped
as Slack says, and without `<` there is no mention.
"""

from __future__ import annotations

import json
from typing import Any

from guard.reporters.notify.values import Occasion
from guard.reporters.notify.words import card

HEADER, SECTION, TEXT = 150, 3000, 3000  # Slack's limits, in characters; TEXT is ours
_WORD_JOINER = "\u2060"  # behind an @, so that no client finds a name there


def body(occasion: Occasion) -> bytes:
    """The whole body."""
    title, facts = card(occasion)
    lines = [f"{name}: {', '.join(text.splitlines())}" for name, text in facts]
    message = {
        "text": escaped(title)[:TEXT],
        "mrkdwn": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "blocks": [
            {"type": "header", "text": _plain(title, HEADER)},
            {"type": "section", "text": _plain("\n".join(lines), SECTION)},
        ],
    }
    return json.dumps(message).encode("ascii")


def _plain(text: str, most: int) -> dict[str, Any]:
    text = text.replace("@", "@" + _WORD_JOINER)
    shown = text if len(text) <= most else text[: most - 1] + "…"
    return {"type": "plain_text", "text": shown, "emoji": False}


def escaped(text: str) -> str:
    """`text` for mrkdwn: no entity, no link, no mention."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "@" + _WORD_JOINER)
