"""What the documentation shows of `[[feed]]` is what the code has."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

from guard.config import parse
from guard.feeds.recipe import Common
from guard.feeds.settings import FeedSettings

DOCS = Path(__file__).parent.parent.parent / "docs" / "feeds.md"


def test_the_documented_example_is_read(tmp_path):
    """Whole, without a fault."""
    (block,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    found = parse(tomllib.loads(block), tmp_path / "guard.toml").feed
    assert [feed.type for feed in found] == ["spamhaus-drop", "abuseipdb", "plain"]


def test_every_type_and_key_is_documented():
    """Each type in the table with its own keys, and the keys of all types."""
    text = DOCS.read_text()
    rows = dict(re.findall(r"^\| `([\w-]+)` \|(.*)$", text, re.MULTILINE))
    common = {spec.name for spec in fields(Common)}
    for made in get_args(FeedSettings):
        kind = next(spec.default for spec in fields(made) if spec.name == "type")
        for spec in fields(made):
            if spec.name not in common | {"type"}:
                assert f"`{spec.name}`" in rows[kind], (kind, spec.name)
    words = set(re.findall(r"`(\w+)`", text))
    assert common <= words
