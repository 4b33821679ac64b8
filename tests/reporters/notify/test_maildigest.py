"""The mail of a digest."""

import email.policy
from email import message_from_bytes

import pytest
from notices import HOSTILE, NOW, digest, occasion

from guard.reporters.notify.maildigest import Mailer, message
from guard.reporters.notify.receivers import NotNow
from guard.reporters.notify.settings import MailNotify
from guard.reporters.notify.values import Count
from guard.roles import Unavailable


def parsed(raw):
    """The mail as another program reads it, with every fault of it."""
    found = message_from_bytes(raw, policy=email.policy.default)
    assert not found.defects
    return found


def test_a_mail_is_one_that_others_understand():
    """Headers, subject, text of ASCII with CRLF and short lines."""
    raw = message(
        occasion(digest(), id_="ab" * 16), "guard@mx1.example", ["ops@example.com"], "mx1.example"
    )
    mail = parsed(raw)
    assert mail["Subject"] == "Guard: 1,234 bans, 1 un-ban in 1h on mx1"
    assert mail["From"] == "Guard <guard@mx1.example>"
    assert mail["To"] == "ops@example.com"
    assert mail["Message-ID"] == f"<{'ab' * 16}@mx1.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime.timestamp() == int(NOW)
    text = mail.get_content()
    assert "jail:kumomta-relay: 1,200" in text
    assert "relay_denied: 99,999" in text
    assert "91.92.251.215: 3 bans, 7 strikes" in text
    assert "spamhaus-drop: +12 -3" in text
    assert raw.isascii()
    assert raw.count(b"\n") == raw.count(b"\r\n")


def test_many_recipients_are_a_folded_header():
    """No line is longer than mail allows, and nobody is lost."""
    to = [f"somebody.of.the.team.{n}@example.com" for n in range(100)]
    raw = message(occasion(digest()), "guard@mx1.example", to, "mx1.example")
    assert max(map(len, raw.split(b"\r\n"))) < 998
    assert [a.addr_spec for a in parsed(raw)["To"].addresses] == to


def test_hostile_names_make_no_header():
    """Not even those of an operator."""
    sources = (Count(HOSTILE + "\r\nBcc: x@example.com", 1),)
    raw = message(
        occasion(digest(sources=sources), host="mx1\r\nBcc: x@example.com"),
        "guard@mx1.example", ["ops@example.com"], "mx1.example",
    )  # fmt: skip
    assert parsed(raw)["Bcc"] is None
    assert b"\nBcc" not in raw


def test_it_is_put_into_the_spool_under_its_id():
    """Envelope of the settings; the null sender where none is set."""
    put = []
    settings = MailNotify(type="mail", to=("a@b.example", "c@d.example"))
    mailer = Mailer(settings, "mx1.example", lambda *given: put.append(given))
    body = mailer.body(occasion(digest()))
    mailer.deliver("ab" * 16, body, NOW)
    assert put == [("ab" * 16, "", ("a@b.example", "c@d.example"), body)]
    assert parsed(body)["From"] == "Guard <guard@mx1.example>"
    assert mailer.place == "a@b.example and 1 more"


def test_a_full_disk_is_tried_again():
    """What the spool says is no loss."""

    def full(*_):
        raise Unavailable("spool: no space left")

    mailer = Mailer(MailNotify(type="mail", to=("a@b.example",)), "mx1.example", full)
    with pytest.raises(NotNow, match="no space"):
        mailer.deliver("id", b"", NOW)
