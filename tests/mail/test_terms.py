"""Policies made ready for connections."""

import ssl
from pathlib import Path

import pytest

from guard.mail.client import Timeouts
from guard.mail.policy import Policy
from guard.mail.settings import TlsMode
from guard.mail.terms import TermsMaker


@pytest.mark.parametrize(
    ("mode", "verifies"),
    [
        ("off", None),
        ("opportunistic", False),
        ("required-insecure", False),
        ("required", True),
        ("implicit", True),
    ],
)
def test_who_has_to_prove_itself(mode: TlsMode, verifies: bool | None):
    """Only what is required and not insecure; the context is made once."""
    maker = TermsMaker("me.test", Timeouts())
    terms = maker.of(Policy(tls=mode))
    assert (terms.hostname, terms.mode) == ("me.test", mode)
    if verifies is None:
        assert terms.tls is None
        return
    assert terms.tls is not None
    assert terms.tls.check_hostname is verifies
    assert (terms.tls.verify_mode is ssl.CERT_REQUIRED) is verifies
    assert maker.of(Policy(tls=mode)).tls is terms.tls
    maker.forget()
    assert maker.of(Policy(tls=mode)).tls is not terms.tls


def test_a_password_is_read_each_time(tmp_path: Path):
    """Who changes it expects no restart; the line end is none of it."""
    secret = tmp_path / "secret"
    policy = Policy(tls="off", username="joe", password_file=secret)
    maker = TermsMaker("me.test", Timeouts())
    for password in ("one", "two"):
        secret.write_text(f"{password}\n")
        assert maker.of(policy).password == password
