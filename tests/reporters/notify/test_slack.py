"""The body for Slack."""

import json
import re

from notices import HOSTILE, ban, digest, occasion

from guard.reporters.notify.slack import HEADER, SECTION, body, escaped


def told(what):
    """The body, read."""
    return json.loads(body(occasion(what)))


def test_a_ban_is_a_header_and_a_section():
    """Blocks for the channel, text for the notification."""
    found = told(ban())
    assert found["text"] == "Banned 91.92.251.215 for 1h on mx1"
    assert [block["type"] for block in found["blocks"]] == ["header", "section"]
    assert "Reason: 5 rejections within 10m" in found["blocks"][1]["text"]["text"]


def test_blocks_hold_no_markup():
    """Slack reads neither mrkdwn nor an emoji in an IPv6 address."""
    for block in told(ban("2a02:100::/64", reason=HOSTILE))["blocks"]:
        assert block["text"]["type"] == "plain_text"
        assert block["text"]["emoji"] is False


def test_nobody_is_mentioned():
    """`<!channel>` needs a `<`; behind an @ stands no name."""
    raw = told(ban(source=HOSTILE, reason=HOSTILE))
    shown = raw["text"] + "".join(block["text"]["text"] for block in raw["blocks"])
    assert "<" not in raw["text"]
    assert not re.search(r"@\w", shown)
    assert escaped("a & <b>") == "a &amp; &lt;b&gt;"


def test_lengths_are_those_that_slack_takes():
    """150 characters of a header, 3000 of a section (Block Kit)."""
    many = tuple((f"jail:{'x' * 400}{n}", n) for n in range(99))
    counts = type(digest().sources[0])
    found = told(digest(sources=tuple(counts(*one) for one in many), feeds=()))
    header, section = (block["text"]["text"] for block in found["blocks"])
    assert len(header) <= HEADER
    assert len(section) <= SECTION
    long = json.loads(body(occasion(ban(), host="h" * 300)))
    assert len(long["blocks"][0]["text"]["text"]) == HEADER
