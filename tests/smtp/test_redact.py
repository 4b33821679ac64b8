"""guard/smtp/redact.py: of an AUTH exchange a known mechanism's name survives, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.smtp.redact import mechanism, redact


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("AUTH PLAIN AGRhbmllbAB0aWdlcg==", "AUTH PLAIN"),
        ("auth login ZGFuaWVs", "AUTH login"),
        ("AUTH NTLM", "AUTH NTLM"),
        ("AUTH SCRAM-SHA-256 biwsbj1h", "AUTH SCRAM-SHA-256"),
        ("AUTH ZGFuaWVs", "AUTH"),
        ("AUTH user secret", "AUTH"),
        (" AUTH PLAIN x", "AUTH PLAIN"),
        ("\tauth\tPLAIN\tx", "AUTH PLAIN"),
        ('aUtH lOgIn" H=(test) [8.8.8.8]', "AUTH"),
        ("AUTHENTICATE x", "AUTHENTICATE x"),
        ("RCPT TO:<auth@example.org>", "RCPT TO:<auth@example.org>"),
    ],
)
def test_lines(line, shown):
    """What is written down of a line."""
    assert redact(line, exchange=False) == shown


def test_what_follows_a_refused_auth():
    """The client goes on with its exchange; a known verb shows itself all the same later."""
    assert redact("dGlnZXI=", exchange=True) == "AUTH"
    assert redact("AUTH PLAIN", exchange=True) == "AUTH PLAIN"


def test_names():
    """Mechanisms that exist, in any case; a name that may be a secret is a star."""
    assert mechanism("ntlm") == "ntlm"
    assert mechanism("ZGFuaWVsMTIz") == "*"


@given(st.text(max_size=40))
def test_no_argument_survives(text):
    """Whatever follows AUTH and a mechanism is gone."""
    shown = redact(f"AUTH PLAIN {text}", exchange=False)
    assert shown == "AUTH PLAIN"
