"""`[report.abuseipdb]`: what is refused, what is warned of, and no key in any of it."""

from pathlib import Path

import pytest
from abuseipdb_host import JAILS

from guard.config import parse
from guard.jails.jail import Jail
from guard.reporters.abuseipdb.check import faults, warnings
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.roles import ConfigError


def read(folder, **more):
    data = {"report": {"abuseipdb": {"key_file": "key", **more}}}
    return parse(data, folder / "guard.toml").report.abuseipdb


def test_it_is_off_by_default():
    """Nobody is told without the section."""
    assert parse({}, Path("guard.toml")).report.abuseipdb is None


def test_the_key_is_relative_to_the_file(tmp_path):
    """As every path in guard.toml."""
    made = read(tmp_path, categories={"limit": [], "web": [18, 21]}, after="10m")
    assert made.key_file == tmp_path / "key"
    assert made.categories == {"limit": (), "web": (18, 21)}
    assert made.after == 600.0


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ({"credential": "x"}, "key_file"),
        ({"per_day": 0}, "per_day"),
        ({"bulk_from": 0}, "bulk_from"),
        ({"bulk_per_day": -1}, "bulk_per_day"),
        ({"clear_per_day": -1}, "clear_per_day"),
        ({"after": "2d"}, "after"),
        ({"timeout": "0s"}, "timeout"),
        ({"categories": {"limit": [24]}}, 'categories."limit"'),
        ({"url": "http://example.com/api"}, "url"),
        ({"url": "ftp://example.com/api"}, "url"),
        ({"url": "https://me:word@example.com/api"}, "url"),
        ({"url": "https://[bad/"}, "url"),
        ({"perday": 5}, "perday"),
    ],
)
def test_what_cannot_be_meant_is_a_fault(tmp_path, more, key):
    """Each with its key."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **more)
    assert [fault.key for fault in caught.value.faults] == [f"report.abuseipdb.{key}"]


def test_a_file_open_to_others_and_jails_without_a_category_are_told(tmp_path):
    """And names that are neither a kind nor a jail; bans for bans need no category."""
    made = read(tmp_path, categories={"relay_dnied": [11], "limit": []})
    made.key_file.write_text("c0ffee00")
    made.key_file.chmod(0o644)
    again = Jail(name="again", filter="recidive")
    assert list(faults(made)) == []
    found = dict.fromkeys(key for key, _ in warnings(made, [*JAILS, again]))
    said = " ".join(text for _, text in warnings(made, [*JAILS, again]))
    assert list(found) == ["key_file", 'categories."relay_dnied"', "categories"]
    assert "chmod o-rwx" in said
    assert "jail own" in said
    assert "jail again" not in said
    made.key_file.chmod(0o600)
    assert [key for key, _ in warnings(read(tmp_path, categories={"own": [11]}), JAILS)] == []


def test_a_key_that_cannot_be_read_is_a_fault(tmp_path, monkeypatch):
    """Not so a credential, which systemd passes to the service alone."""
    [(key, text)] = faults(read(tmp_path))
    assert (key, "No such file" in text) == ("key_file", True)
    made = AbuseIpdbReportSettings(credential="abuseipdb")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert list(faults(made)) == []
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert [key for key, _ in faults(made)] == ["credential"]


def test_a_proxy_with_a_password_is_not_shown(tmp_path):
    """Nor anything else that is secret."""
    assert "sesame" not in repr(read(tmp_path, proxy="http://me:sesame@proxy:3128"))
