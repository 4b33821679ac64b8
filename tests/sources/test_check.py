"""`guard check` finds what is wrong with sources before they run, all at once."""

from pathlib import Path

import pytest
from kumo import Kumo, rejection

from guard.config import parse
from guard.lib.fields import Endpoint
from guard.roles import ConfigError
from guard.sources.check import check_sources
from guard.sources.settings import (
    JournalSettings,
    KumomtaLogSettings,
    LogSettings,
    StdinSettings,
    SyslogSettings,
    WebhookSettings,
)

GOOD = "[Definition]\nfailregex = ^x <HOST>$\njournalmatch = _COMM=x\n"


def test_every_fault_is_told_at_once(tmp_path):
    """A missing filter, a weak secret, bad TLS and a bad journalmatch, each with its key."""
    (tmp_path / "good.conf").write_text(GOOD)
    (tmp_path / "weak").write_text("short")
    sources = [
        LogSettings(type="log", path=tmp_path, filter="absent"),
        WebhookSettings(
            type="webhook",
            secret_file=tmp_path / "weak",
            tls_certificate=tmp_path / "weak",
            tls_private_key=tmp_path / "weak",
        ),
        JournalSettings(type="journal", filter="good", match="--file=x"),
        WebhookSettings(type="webhook", secret_file=tmp_path / "absent"),
    ]
    with pytest.raises(ConfigError) as caught:
        check_sources(sources, [tmp_path], "guard.toml")
    told = [(fault.file, fault.key) for fault in caught.value.faults]
    assert told == [
        (str(tmp_path), ""),
        ("guard.toml", "source[1].secret_file"),
        ("guard.toml", "source[1].tls_certificate"),
        ("guard.toml", "source[2].match"),
        ("guard.toml", "source[3].secret_file"),
    ]
    assert "there is no filter 'absent'" in str(caught.value)
    assert "16 characters" in str(caught.value)


def test_what_may_surprise_is_a_warning(tmp_path, monkeypatch):
    """Paths that are not there yet, secrets in clear, a receiver that anybody can reach."""
    (tmp_path / "good.conf").write_text(GOOD)
    (tmp_path / "secret").write_text("correct horse battery staple")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "here.log").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    everywhere = Endpoint("", 1)
    sources = [
        KumomtaLogSettings(type="kumomta-log", path=tmp_path / "absent"),
        LogSettings(type="log", path=tmp_path / "*.log", filter="good"),
        LogSettings(type="log", path=tmp_path / "*.txt", filter="good"),
        WebhookSettings(type="webhook", listen=everywhere, secret_file=tmp_path / "secret"),
        SyslogSettings(type="syslog", listen=everywhere, filter="good"),
        JournalSettings(type="journal", filter="good"),
        StdinSettings(type="stdin"),
    ]
    warnings = check_sources(sources, [tmp_path], "guard.toml")
    assert [fault.key for fault in warnings] == [
        "source[0].path",
        "source[2].path",
        "source[3].tls_certificate",
        "source[4].listen",
        "source[5].type",
    ]


def test_a_source_named_twice_is_a_fault():
    """It would count everything twice."""
    one = {"type": "kumomta-log", "path": "/var/log/kumomta"}
    with pytest.raises(ConfigError, match=r"source\[1\]: is source\[0\] again"):
        parse({"source": [one, dict(one)]}, Path("guard.toml"))
    assert len(parse({"source": [one, {**one, "path": "/x"}]}, Path("guard.toml")).source) == 2


def test_a_log_of_another_shape_is_warned_of(tmp_path):
    """KumoMTA writes what a `template` says: such a segment holds nothing for us."""
    kumo = Kumo(tmp_path / "log")
    item = KumomtaLogSettings(type="kumomta-log", path=tmp_path / "log")
    kumo.write(rejection(1))
    kumo.close()
    assert check_sources([item], [], "guard.toml") == []
    kumo.write(b"550,192.0.2.1,relaying not permitted\n" * 1000)
    kumo.close()
    (warning,) = check_sources([item], [], "guard.toml")
    assert warning.key == "source[0].path"
    assert "holds no JSON: with a `template`" in warning.message
