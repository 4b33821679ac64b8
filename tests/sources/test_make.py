"""Each kind of settings makes its source, with filters found where they are configured."""

import pytest

from guard.config import parse
from guard.roles import ConfigError, Finishing, Telling
from guard.sources.make import journalmatch, make_source

FILTER = (
    "[Definition]\nfailregex = ^<pre>x <HOST>$\njournalmatch = _COMM=<name>\npre = \nname = x\n"
)


@pytest.fixture
def make(tmp_path):
    """Makes a source of the given keys."""
    (tmp_path / "plain.conf").write_text(FILTER)
    (tmp_path / "log").mkdir()

    def made(**keys: object):
        (settings,) = parse({"source": [keys]}, tmp_path / "guard.toml").source
        return make_source(settings, tmp_path / "state", [tmp_path])

    return made


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        ({"type": "kumomta-log", "path": "log"}, "KumomtaLog"),
        ({"type": "kumomta-log", "path": "absent"}, "KumomtaLog"),
        ({"type": "kumomta-log", "path": "plain.conf"}, "TextLog"),
        ({"type": "kumomta-log", "path": "later.jsonl"}, "TextLog"),
        ({"type": "log", "path": "*.log", "filter": "plain"}, "TextLog"),
        ({"type": "webhook"}, "Webhook"),
        ({"type": "journal", "filter": "plain"}, "Journal"),
        ({"type": "syslog"}, "Syslog"),
        ({"type": "syslog", "filter": "plain"}, "Syslog"),
        ({"type": "stdin"}, "StandardInput"),
        ({"type": "stdin", "filter": "plain"}, "StandardInput"),
    ],
)
def test_each_type_makes_its_source(make, keys, kind):
    """Nothing is opened or bound, and each has a name to show."""
    made = make(**keys)
    assert type(made).__name__ == kind
    assert made.name.split()[0] == keys["type"]
    if kind != "StandardInput":
        assert isinstance(made, Finishing)
    if kind not in ("StandardInput", "Journal"):
        assert isinstance(made, Telling)


@pytest.mark.parametrize("kind", ["log", "journal", "syslog", "stdin"])
def test_a_filter_that_is_missing_is_told_at_the_start(make, kind):
    """Not when the first line comes."""
    keys = {"path": "x.log"} if kind == "log" else {}
    with pytest.raises(ConfigError, match="there is no filter 'absent'"):
        make(type=kind, filter="absent", **keys)


def test_a_filters_own_journalmatch_is_used(make, tmp_path):
    """With the options of the call; none where the file has none."""
    make(type="journal", filter="plain")
    assert journalmatch("plain", [tmp_path]) == "_COMM=x"
    assert journalmatch("plain[name=y]", [tmp_path]) == "_COMM=y"
    assert journalmatch("absent", [tmp_path]) == ""
