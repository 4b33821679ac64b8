"""`guard policy`: what Postfix is told about each client."""

import os

import pytest
from click.testing import CliRunner

from guard.cli.policy import REPLY, Bans, answers, policy


@pytest.fixture
def bans(tmp_path):
    """A list as `guard export bans` writes it."""
    path = tmp_path / "bans.txt"
    path.write_text("192.0.2.7\n198.51.100.0/24\n2001:db8::/64\n")
    return path


@pytest.mark.parametrize(
    ("client", "banned"),
    [
        ("192.0.2.7", True), ("192.0.2.8", False), ("198.51.100.9", True), ("2001:db8::5", True),
        ("2001:db8:1::5", False), ("::ffff:192.0.2.7", True), ("unknown", False), ("", False),
        ("\udcff", False),
    ],
)  # fmt: skip
def test_the_banned_are_told_and_nobody_else(bans, client, banned):
    """By address and network; what is no address gets in."""
    request = b"request=smtpd_access_policy\nclient_address="
    request += client.encode("utf-8", "surrogateescape") + b"\nhelo_name=client_address=192.0.2.7\n"
    done = CliRunner().invoke(policy, [str(bans)], input=request + b"\n" + request + b"\n")
    assert done.output == f"action={REPLY if banned else 'DUNNO'}\n\n" * 2


def test_a_new_list_counts_at_once_and_a_bad_one_bans_nobody(bans):
    """It may be replaced between two requests, or go; one request does not leak into the next."""
    known = Bans(bans)
    asked = [b"client_address=192.0.2.7\n", b"\n"]
    banned, free = "action=450 no\n\n", "action=DUNNO\n\n"
    assert list(answers([*asked, b"\n"], known, "450 no")) == [banned, free]
    for text, expected in (("192.0.2.8\n", free), ("192.0.2.7\n", banned), ("GET /\n", free)):
        new = bans.with_name("new")
        new.write_text(text)
        os.utime(new, ns=(1, len(text)))
        new.replace(bans)
        assert list(answers(asked, known, "450 no")) == [expected]
    bans.unlink()
    assert list(answers(asked, known, "450 no")) == [free]
