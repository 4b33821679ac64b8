"""The body for a Microsoft Teams workflow, "Post to a channel when a webhook request is received".

An Adaptive Card of schema 1.4 (adaptivecards.io) as the attachment of a message. Every text is a
`TextRun` of a `RichTextBlock`, in which nothing is markdown, link or mention, so that nothing has
to be escaped; mentions would need an entity, and the card has none. Pure.
"""

from __future__ import annotations

import json
from typing import Any

from guard.reporters.notify.values import Occasion
from guard.reporters.notify.words import card

CARD = "application/vnd.microsoft.card.adaptive"
SCHEMA = "http://adaptivecards.io/schemas/adaptive-card.json"
LONGEST = 2000  # characters of one block; a whole message may have 28 KB
_WORD_JOINER = "\u2060"


def body(occasion: Occasion) -> bytes:
    """The whole body."""
    title, facts = card(occasion)
    blocks = [_block(_run(title, weight="Bolder", size="Medium"))]
    blocks += [
        _block(_run(f"{name}: ", weight="Bolder"), _run(", ".join(text.splitlines())))
        for name, text in facts
    ]
    content = {"$schema": SCHEMA, "type": "AdaptiveCard", "version": "1.4", "body": blocks}
    attachment = {"contentType": CARD, "contentUrl": None, "content": content}
    return json.dumps({"type": "message", "attachments": [attachment]}).encode("ascii")


def _block(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **look: str) -> dict[str, Any]:
    text = text.replace("@", "@" + _WORD_JOINER)
    shown = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return {"type": "TextRun", "text": shown, **look}
