"""The body for Discord."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from notices import HOSTILE, ban, digest, occasion

from guard.reporters.notify.discord import DESCRIPTION, TITLE, _bounded, body, escaped


def told(what):
    """The one embed."""
    message = json.loads(body(occasion(what)))
    assert message["allowed_mentions"] == {"parse": []}
    (embed,) = message["embeds"]
    return embed


def plain(text):
    """What Discord shows: every backslash stands for what follows it."""
    return re.sub(r"\\(.)", r"\1", text).replace("\u2060", "")


def test_a_ban_is_one_embed():
    """Title, description and a colour."""
    embed = told(ban())
    assert plain(embed["title"]) == "Banned 91.92.251.215 for 1h on mx1"
    assert "**Reason**: 5 rejections within 10m" in embed["description"]
    assert told(ban(event="unban"))["color"] != embed["color"] != told(digest())["color"]


def test_markup_is_shown_as_it_is_written():
    """No link, no bold, no mention comes of a reason."""
    line = next(x for x in told(ban(reason=HOSTILE))["description"].splitlines() if "Reason" in x)
    rest = line.removeprefix("**Reason**: ")
    assert not re.search(r"(?<!\\)[*_`\[\]()<>#|~]", rest)
    assert not re.search(r"@\w", rest)


@given(st.text(max_size=200))
def test_escaped_text_shows_as_the_text(text):
    """Nothing is lost by escaping."""
    assert plain(escaped(text)) == re.sub(r"\u2060", "", text)


@given(st.lists(st.text("a\\*", max_size=400), max_size=20), st.integers(2, 500))
def test_a_bounded_text_fits_and_ends_in_no_half_escape(lines, most):
    """As long as it may be, and no backslash escapes what comes behind."""
    shown = _bounded([escaped(line) for line in lines], most)
    assert len(shown) <= most
    for line in shown.split("\n"):
        end = line.removesuffix("…")
        assert (len(end) - len(end.rstrip("\\"))) % 2 == 0


def test_lengths_are_those_that_discord_takes():
    """256 of a title, 4096 of a description, 6000 of all."""
    embed = json.loads(body(occasion(ban(reason="*" * 3000), host="*" * 3000)))["embeds"][0]
    assert len(embed["title"]) <= TITLE
    assert len(embed["description"]) <= DESCRIPTION
