"""What the documentation shows of `[protect]` is what the code has."""

import re
import tomllib
from dataclasses import fields, replace
from pathlib import Path

from guard.config import parse
from guard.protect.settings import ProtectSettings

DOCS = Path(__file__).parent.parent.parent / "docs" / "protection.md"


def test_the_documented_defaults_are_the_defaults(tmp_path):
    """Every key is shown, and with its default, but for the examples of `allow`."""
    (block,) = re.findall(r"```toml\n(\[protect\].*?)```", DOCS.read_text(), re.DOTALL)
    data = tomllib.loads(block)
    assert set(data["protect"]) == {spec.name for spec in fields(ProtectSettings)}
    shown = parse(data, tmp_path / "guard.toml").protect
    assert len(shown.allow) == 4
    assert replace(shown, allow=(), allow_files=()) == ProtectSettings()


def test_every_layer_is_documented():
    """Those that hold forms of `allow` under that name."""
    from guard.protect.protection import LAYERS

    text = DOCS.read_text()
    for layer in LAYERS:
        assert f"| `{layer.partition('_')[0] if layer.startswith('allow') else layer}` |" in text
