"""What `[check]` may say, every fault at once."""

import tomllib

import pytest

from guard.config import parse
from guard.enrichment.settings import CheckSettings
from guard.roles import ConfigError


def read(text, tmp_path):
    return parse(tomllib.loads(text), tmp_path / "guard.toml").check


def test_everything_is_off_until_it_has_a_key_or_is_enabled(tmp_path):
    """A file or a credential; GreyNoise and ZEN need none."""
    assert CheckSettings().on == []
    text = (
        '[check.abuseipdb]\nkey_file = "a.key"\n[check.virustotal]\ncredential = "vt"\n'
        "[check.greynoise]\nenabled = true\n[check.zen]\nenabled = true\n"
    )
    found = read(text, tmp_path)
    assert found.on == ["abuseipdb", "virustotal", "greynoise", "zen"]
    assert found.abuseipdb.key_file == tmp_path / "a.key"
    assert read('[check.greynoise]\nkey_file = "x"\n', tmp_path).on == []


def test_every_fault_is_named(tmp_path):
    """With its key."""
    text = """
    [check]
    wait = "25s"
    known = 0
    [check.abuseipdb]
    key_file = "a"
    credential = "a"
    per_day = 0
    blocks_per_day = 0
    max_age = 366
    widest = 8
    ttl = "10s"
    timeout = "1h"
    url = "http://api.abuseipdb.com/"
    [check.virustotal]
    per_minute = 0
    url = "https://user:word@host/"
    [check.greynoise]
    ttl_unknown = "1s"
    url = "file:///etc/passwd"
    [check.zen]
    zone = "zen spamhaus"
    name_servers = ["8.8.8.8:53", "ns.example:53", "127.0.0.1:0", "[2620:fe::fe]:53"]
    """
    with pytest.raises(ConfigError) as caught:
        read(text, tmp_path)
    assert {fault.key.removeprefix("check.") for fault in caught.value.faults} == {
        "abuseipdb.key_file", "abuseipdb.per_day", "abuseipdb.blocks_per_day", "abuseipdb.max_age",
        "abuseipdb.widest", "abuseipdb.ttl", "abuseipdb.timeout", "abuseipdb.url",
        "virustotal.per_minute", "virustotal.url", "greynoise.ttl_unknown", "greynoise.url",
        "zen.zone", "zen.name_servers[0]", "zen.name_servers[1]", "zen.name_servers[2]",
        "zen.name_servers[3]",
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        read('[check]\nwait = "25s"\nknown = 0\n', tmp_path)
    assert len(caught.value.faults) == 2


def test_a_key_of_spamhaus_may_ask_through_anybody(tmp_path):
    """The Data Query Service knows its customers by the key."""
    text = '[check.zen]\nenabled = true\nkey_file = "k"\nname_servers = ["8.8.8.8:53"]\n'
    assert read(text, tmp_path).zen.name_servers
    assert "user:word" not in repr(
        read('[check.virustotal]\nproxy = "http://user:word@p:1"\n', tmp_path)
    )
