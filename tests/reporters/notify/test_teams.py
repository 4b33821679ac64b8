"""The body for Teams."""

import json
import re

from notices import HOSTILE, ban, digest, occasion

from guard.reporters.notify.teams import body


def runs(what):
    """All text runs of the card."""
    message = json.loads(body(occasion(what)))
    assert message["type"] == "message"
    (attachment,) = message["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.4")
    assert "msteams" not in card
    return [run for block in card["body"] for run in block["inlines"]]


def test_a_ban_is_a_card():
    """A title, and a block for each fact."""
    texts = [run["text"] for run in runs(ban())]
    assert texts[0] == "Banned 91.92.251.215 for 1h on mx1"
    assert texts[texts.index("Reason: ") + 1] == "5 rejections within 10m"


def test_every_text_is_a_run_in_which_nothing_is_markup():
    """TextRun knows no markdown; without entities nobody is mentioned."""
    for run in runs(ban(reason=HOSTILE, source=HOSTILE)):
        assert run["type"] == "TextRun"
        assert not re.search(r"@\w", run["text"])


def test_a_card_is_far_below_what_teams_takes():
    """28 KB is the end of a message."""
    feeds = tuple(digest().feeds[0]._replace(name="\U0001f600" * 500) for _ in range(300))
    assert len(body(occasion(digest(feeds=feeds), host="h" * 9999))) < 28_000
