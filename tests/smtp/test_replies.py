"""guard/smtp/replies.py: what goes over the wire, and what a record takes of it."""

import pytest

from guard.records import EnhancedCode
from guard.smtp import replies
from guard.smtp.replies import Reply, reply

ALL = [value for value in vars(replies).values() if isinstance(value, Reply)]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.content[:30])
def test_every_reply_of_the_table(one):
    """Whole lines that begin with the code; the content is what the wire says without codes."""
    lines = one.wire.decode().split("\r\n")
    assert lines.pop() == ""
    assert all(line.startswith(str(one.code)) for line in lines)
    enhanced = ""
    if code := one.enhanced:
        enhanced = f"{code.class_}.{code.subject}.{code.detail} "
    assert "\n".join(line[4:] for line in lines) == enhanced + one.content
    # RFC 2034, section 4: the class is the first digit of the code.
    assert one.enhanced is None or one.enhanced.class_ == one.code // 100


def test_split_as_kumomta_does():
    """An enhanced code is what looks like one of its class; `3.0.0` and `2.0.0.1` are text."""
    assert reply("200 2.0.1 w00t").enhanced == EnhancedCode(2, 0, 1)
    assert reply("200 3.0.0 w00t").enhanced is None
    assert reply("200 2.0.0.1 w00t").enhanced is None
    assert reply("501 Syntax error").content == "Syntax error"


def test_nothing_of_a_peer_makes_a_line():
    """Control characters come back escaped; a newline of ours is a continuation line."""
    assert reply("250 a\rb\x00c").wire == b"250 a\\rb\\x00c\r\n"
    assert reply("250 a\nb").wire == b"250-a\r\n250 b\r\n"
    said = replies.unparseable("x\r\n250 OK\x1b[0m").wire
    assert b"\r\n250 OK" not in said
    assert b"\x1b" not in said


def test_those_put_together_by_hand_are_like_the_others():
    """The fast ones are what the slow one would make of the same text."""
    assert replies.relay_denied("[::1]:25") == reply(
        "550 5.7.1 relaying not permitted for [::1]:25"
    )
    assert replies.auth_unsupported("NTLM", "NTLM") == reply("504 5.5.4 AUTH NTLM not supported")
    assert replies.auth_not_encrypted("PLAIN") == reply(
        "524 5.7.11 AUTH PLAIN requires an encrypted channel"
    )
    assert replies.unparseable("<x>") == reply(
        "501 Syntax error in command or arguments: Error at line 1, in Eof:\n<x>\n^\n\n"
        "while parsing command-verb"
    )
