"""Settings of [[notify]]."""

from pathlib import Path

import pytest

from guard import config
from guard.reporters.notify.settings import in_the_clear, tells_of, url_fault
from guard.roles import ConfigError

HOOK = '[[notify]]\ntype = "webhook"\nurl = "https://ops.example.com/hook"\n'


def read(tmp_path: Path, text: str):
    """The settings, or the faults as lines."""
    path = tmp_path / "guard.toml"
    path.write_text(text)
    try:
        return config.load(path)
    except ConfigError as error:
        return [str(fault).removeprefix(f"{path}: ") for fault in error.faults]


def test_defaults(tmp_path):
    """Jails only, bans and un-bans, each by itself, ten a minute, for a day."""
    (found,) = read(tmp_path, HOOK).notify
    assert (found.sources, found.on, found.digest) == (("jail",), ("ban", "unban"), 0.0)
    assert (found.burst, found.interval, found.expire, found.timeout) == (10, 60, 86400, 10)


def test_a_url_and_a_proxy_are_not_in_the_repr(tmp_path):
    """Whoever knows the URL of a chat may write there."""
    text = HOOK.replace("/hook", "/hook/s3cret") + 'proxy = "http://u:pa55@proxy:1"\n'
    (found,) = read(tmp_path, text).notify
    assert "s3cret" not in repr(found)
    assert "pa55" not in repr(found)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('name = "a b"', "notify[0].name: 'a b' may have letters, digits, dots and dashes only"),
        ("sources = []", "notify[0].sources: is empty: nothing would be told"),
        ('sources = ["all"]', "notify[0].sources[0]: 'all' is not jail, jail:NAME, manual or feed"),
        (
            'sources = ["feed"]',
            "notify[0].sources[0]: lists change by the thousand: needs a digest",
        ),
        ('digest = "5s"', "notify[0].digest: must be at least 1m, or 0 for each by itself"),
        ('expire = "1s"', "notify[0].expire: must be at least 1m"),
        ("on = []", "notify[0].on: is empty: nothing would be told"),
        ('on = ["bann"]', "notify[0].on[0]: 'bann' is not one of ban, unban"),
        ("burst = 0", "notify[0].burst: must be at least 1"),
        ('interval = "0s"', "notify[0].interval: must be at least 1s"),
        ('timeout = "1h"', "notify[0].timeout: must be 1s to 5m"),
        ('url_file = "x"', "notify[0].url: and url_file or url_credential: only one of them"),
        ('secret_file = "x"\nsecret_credential = "y"', "notify[0].secret_file: a file or"),
        ('to = ["a@b.example"]', "notify[0].to: unknown key"),
    ],
)
def test_a_fault_names_its_key(tmp_path, line, fault):
    """Every contradiction is told, and only it."""
    (found,) = read(tmp_path, HOOK + line + "\n")
    assert found.startswith(fault)


def test_a_url_has_to_be_somewhere(tmp_path):
    """In the file, in another, or in a credential."""
    (fault,) = read(tmp_path, '[[notify]]\ntype = "slack"\n')
    assert fault.startswith("notify[0].url_file: a file or a systemd credential")
    assert read(tmp_path, '[[notify]]\ntype = "slack"\nurl_credential = "slack"\n').notify


def test_names_are_told_apart(tmp_path):
    """Status, metrics and the command go by them."""
    (fault,) = read(tmp_path, HOOK + HOOK)
    assert fault == "notify[1].name: notify[0] is called 'webhook' too"
    assert read(tmp_path, HOOK + HOOK + 'name = "other"\n').notify


MAIL = '[[notify]]\ntype = "mail"\nto = ["ops@example.com"]\n'


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('digest = "0s"', "notify[0].digest: mail is sent as a digest only: at least 1m"),
        ('sender = "nobody"', "notify[0].sender: 'nobody' is not a plain mail address"),
        ('sender = "a@b\\r\\nBcc: c@d"', "notify[0].sender: "),
        ('on = ["ban"]', "notify[0].on: unknown key"),
    ],
)
def test_faults_of_mail(tmp_path, line, fault):
    """What would be no mail, or more than one header."""
    (found,) = read(tmp_path, MAIL + line + "\n")
    assert found.startswith(fault)


@pytest.mark.parametrize("to", ['["a@b\\r\\nX: y"]', '["Ann <a@b.example>"]', '["@b"]', "[]"])
def test_recipients_are_plain_addresses(tmp_path, to):
    """No name, no line end, nobody."""
    (found,) = read(tmp_path, MAIL.replace('["ops@example.com"]', to))
    assert found.startswith("notify[0].to")


def test_mail_needs_somebody_who_delivers(tmp_path):
    """It goes through our own spool."""
    (fault,) = read(tmp_path, "[delivery]\nenabled = false\n" + MAIL)
    assert fault == "notify[0].type: mail leaves through our own delivery, and [delivery] is off"


@pytest.mark.parametrize(
    "url",
    [
        "ops.example.com/hook", "ftp://a.example/", "https://", "https:///x", "http://[::1", "",
        "https://user:word@a.example/", "https://a.example/\n", "https://a.example/a b",
        "https://a.example:99999/", "https://ä.example/", "https://a.example:0/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_told_without_it(url):
    """The fault says what is wrong; what was meant to be a URL may hold a secret."""
    fault = url_fault(url)
    assert fault
    assert not url or url not in fault


def test_what_others_can_read():
    """Plain HTTP, but to this machine."""
    assert in_the_clear("http://chat.example.com/x")
    assert not in_the_clear("https://chat.example.com/x")
    assert not in_the_clear("http://127.0.0.1:8065/hooks/x")


def test_whose_bans_are_told():
    """A sort, or one of it."""
    assert tells_of(("jail",), "jail:kumomta-relay")
    assert tells_of(("jail:slow",), "jail:slow")
    assert not tells_of(("jail:slow",), "jail:slower")
    assert not tells_of(("jail",), "manual")
    assert not tells_of(("jail", "manual"), "feed:spamhaus-drop")
