"""The status page shows what the commands tell, escaped."""

from html.parser import HTMLParser

from guard.web.page import MOST, page

BAN = {
    "network": "192.0.2.1", "source": "jail:kumomta-relay", "since": 100.0, "until": 3700.0,
    "strikes": 1, "reason": "<script>alert(1)</script>",
}  # fmt: skip


class Words(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.words.append(data)


def test_it_shows_status_and_bans():
    """Scalars, mappings, rows and bans are there in words, times as lengths."""
    status = {"firewall": "dry-run", "counting": {"heard": 5}, "source": [{"name": "listener"}]}
    words = Words(page(status, [BAN], 160.0)).words
    for word in ("dry-run", "heard 5", "listener", "192.0.2.1", "1m ago", "59m", "bans: 1"):
        assert word in words


def test_nothing_on_it_is_markup_of_somebody_else():
    """A reason with a tag in it is text."""
    shown = Words(page({"<b>": "<i>", "x": [{"<u>": "<s>"}]}, [BAN], 160.0))
    assert BAN["reason"] in shown.words
    assert not {"script", "b", "i", "u", "s"} & set(shown.tags)


def test_a_hundred_thousand_bans_are_cut():
    """The page stays small, and says how many there are."""
    text = page({}, [{**BAN, "until": None}] * 1000, 160.0)
    assert text.count("192.0.2.1") == MOST
    assert f"the first {MOST} of 1000" in text
    assert "never" in text
