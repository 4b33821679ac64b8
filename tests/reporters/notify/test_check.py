"""What `guard check` says of [[notify]]."""

import pytest
from notices import SECRET

from guard.reporters.notify.check import check_notify
from guard.reporters.notify.settings import MailNotify, SlackNotify, WebhookNotify
from guard.roles import ConfigError


def checked(*items):
    """Warnings and faults, as lines."""
    try:
        return [str(one) for one in check_notify(items, "guard.toml")], []
    except ConfigError as error:
        return [], [str(one) for one in error.faults]


def test_good_ones_are_silent(tmp_path):
    """Files that are there, kept from others, with https."""
    url, secret = tmp_path / "url", tmp_path / "secret"
    url.write_text("https://hooks.slack.com/services/x")
    secret.write_text(SECRET)
    for path in (url, secret):
        path.chmod(0o600)
    assert checked(
        WebhookNotify(type="webhook", url_file=url, secret_file=secret),
        SlackNotify(type="slack", url_file=url),
        MailNotify(type="mail", to=("a@b.example",)),
    ) == ([], [])


def test_every_fault_names_its_key_and_no_secret(tmp_path):
    """Missing, empty, too short, no URL: all at once."""
    short, nonsense = tmp_path / "short", tmp_path / "nonsense"
    short.write_text("pa55word")
    nonsense.write_text("hooks.slack.com/pa55word")
    _, faults = checked(
        SlackNotify(type="slack", url_file=tmp_path / "none"),
        SlackNotify(type="slack", url_file=nonsense),
        WebhookNotify(type="webhook", url="https://a.example/", secret_file=short),
    )
    keys = [fault.split(": ")[1] for fault in faults]
    assert keys == ["notify[0].url_file", "notify[1].url_file", "notify[2].secret_file"]
    assert "pa55word" not in str(faults)


def test_a_credential_that_systemd_did_not_pass(monkeypatch, tmp_path):
    """It passes them to the service, not to a command; the service says what is missing."""
    signed = WebhookNotify(type="webhook", url_credential="hook", secret_credential="word")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert checked(signed) == ([], [])
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    _, faults = checked(signed)
    assert [fault.split(": ")[1] for fault in faults] == [
        "notify[0].url_credential",
        "notify[0].secret_credential",
    ]


def test_a_credential_is_read(monkeypatch, tmp_path):
    """From where systemd puts it."""
    (tmp_path / "slack").write_text("https://hooks.slack.com/services/x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert checked(SlackNotify(type="slack", url_credential="slack")) == ([], [])


@pytest.mark.parametrize("mode", [0o644, 0o602])
def test_what_others_may_read_is_warned_of(tmp_path, mode):
    """Everybody on this machine could post."""
    url = tmp_path / "url"
    url.write_text("https://hooks.slack.com/services/x")
    url.chmod(mode)
    (warning,), _ = checked(SlackNotify(type="slack", url_file=url))
    assert "notify[0].url_file" in warning
    assert "chmod" in warning


def test_a_url_in_the_clear_and_one_in_guard_toml():
    """Both are warned of, without the URL."""
    warnings, _ = checked(SlackNotify(type="slack", url="http://chat.example.com/s3cret"))
    assert len(warnings) == 2
    assert "s3cret" not in str(warnings)
    assert checked(WebhookNotify(type="webhook", url="http://127.0.0.1:1/x")) == ([], [])
