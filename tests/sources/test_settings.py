"""Every setting of every source is documented, and those that endanger somebody are refused."""

import dataclasses
import re
import tomllib
from typing import get_args, get_type_hints

import pytest
from support import PROJECT

from guard.config import parse
from guard.sources.settings import SourceSettings

PAGE = (PROJECT / "docs" / "sources.md").read_text()
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def documented() -> dict[str, set[str]]:
    """The keys that the page shows for each type, in its examples or in words."""
    shown: dict[str, set[str]] = {}
    for section in PAGE.split("\n## ")[1:]:
        kind = section.split("\n")[0]
        keys = set(re.findall(r"^(\w+) = ", section, re.MULTILINE))
        shown[kind] = keys | {a or b for a, b in re.findall(r"`(\w+)[ =`]|or: (\w+) = ", section)}
    return shown


@pytest.mark.parametrize("cls", get_args(SourceSettings), ids=lambda cls: cls.__name__)
def test_every_key_is_documented(cls):
    """A setting that nobody finds is none."""
    (kind,) = get_args(get_type_hints(cls)["type"])
    missing = {field.name for field in dataclasses.fields(cls)} - documented()[kind]
    assert not missing


def test_every_example_is_accepted(tmp_path):
    """What the page shows can be copied."""
    assert len(BLOCKS) == 6
    for block in BLOCKS:
        assert parse(tomllib.loads(block), tmp_path / "guard.toml").source
