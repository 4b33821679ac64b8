"""guard/smtp/commands.py: the grammar line by line; any text has an answer."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.relay.domain import domain_of
from guard.smtp.commands import Address, Command, Verb, declared_size, parse

# line, what it is, the reply when it is refused (its beginning)
LINES = [
    ("bogus", "UNIMPLEMENTED", "502 5.5.1 Command unimplemented"),
    ("GET / HTTP/1.1", "UNIMPLEMENTED", "502 5.5.1 Command unimplemented"),
    ("", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    (" NOOP", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    ("QUIT ", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    ("Host: x", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    ("User-Agent: x", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    ("EHLO\tx", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    ("\x16\x03\x01", "UNPARSEABLE", "501-Syntax error in command or arguments: "),
    ("EHLO", "PARTIAL", "501 Syntax error in command or arguments"),
    ("EHLO a b", "PARTIAL", "501 Syntax error in command or arguments"),
    ("EHLO a..b", "PARTIAL", "501 Syntax error in command or arguments"),
    ("EHLO [999.999.999.999]", "PARTIAL", "501 Syntax error in command or arguments"),
    ("EHLO [IPv6:1.2.3.4]", "PARTIAL", "501 Syntax error in command or arguments"),
    ('EHLO },"ip":"8.8.8.8","x":"{', "PARTIAL", "501 Syntax error in command or arguments"),
    ("EHLO x\x00y", "PARTIAL", "501 Syntax error in command or arguments"),
    ("EHLO x\u2028y", "PARTIAL", "501 Syntax error in command or arguments"),
    ("NOOP trailing garbage", "PARTIAL", "501 Syntax error in command or arguments"),
    ("DATA x", "PARTIAL", "501 Syntax error in command or arguments"),
    ("VRFY a b", "PARTIAL", "501 Syntax error in command or arguments"),
    ("VRFY", "UNIMPLEMENTED", "502 5.5.1 Command unimplemented"),
    ("HELP parameter", "UNIMPLEMENTED", "502 5.5.1 Command unimplemented"),
    ("LHLO example.com", "UNIMPLEMENTED", "502 5.5.1 Command unimplemented"),
    ("AUTH", "PARTIAL", "501 Syntax error in command or arguments"),
    ("AUTH !!bad!!", "PARTIAL", "501 Syntax error in command or arguments"),
    ('aUtH lOgIn" H=(test) [8.8.8.8]', "PARTIAL", "501 Syntax error in command or arguments"),
    ("XCLIENT", "PARTIAL", "501 Syntax error in command or arguments"),
    ("XCLIENT noequals", "PARTIAL", "501 Syntax error in command or arguments"),
    ("XCLIENT ADDR=192.0.2.1", "PARTIAL", "550 insufficient authorization"),
    ("MAIL", "PARTIAL", "501 Syntax error in command or arguments"),
    ("MAIL garbage", "PARTIAL", "501 Syntax error in command or arguments"),
    ("MAIL FROM:", "PARTIAL", "501 5.1.7 Bad sender's mailbox address syntax"),
    ("MAIL FROM:<postmaster>", "PARTIAL", "501 5.1.7 Bad sender's mailbox address syntax"),
    ("MAIL FROM:<a@b>x", "PARTIAL", "501 5.1.7 Bad sender's mailbox address syntax"),
    ("MAIL FROM:<a@[IPv6:no]>", "PARTIAL", "501 5.1.7 Bad sender's mailbox address syntax"),
    ("MAIL FROM:<a b> SIZE=1", "PARTIAL", "501 5.1.7 Bad sender's mailbox address syntax"),
    ("MAIL FROM:<a@b> !!!", "PARTIAL", "501 Syntax error in command or arguments"),
    ("MAIL FROM:a@b SIZE=1", "PARTIAL", "501 Syntax error in command or arguments"),
    ("RCPT TO:<>", "PARTIAL", "501 5.1.3 Invalid recipient address syntax"),
    ("RCPT TO:<a@b:25>", "PARTIAL", "501 5.1.3 Invalid recipient address syntax"),
    ("RCPT TO:<a\r@b>", "PARTIAL", "501 5.1.3 Invalid recipient address syntax"),
]
ADDRESSES = [
    ("MAIL FROM:<user@host>", Address("user", "host")),
    ("mail from:<User@HOST.example> BODY=8BITMIME", Address("User", "host.example")),
    ("MAIL FROM: <user@host>", Address("user", "host")),
    ("MAIL FROM:user@host", Address("user", "host")),
    ("MAIL FROM:<>", Address("", "")),
    ("MAIL FROM: <> SIZE=12", Address("", "")),
    ("MAIL FROM:<@hosta.int,@jkl.org:userc@d.bar.org>", Address("userc", "d.bar.org")),
    ("MAIL FROM:<user@münchen.de>", Address("user", "xn--mnchen-3ya.de")),
    ("MAIL FROM:<grün@example.de>", Address("grün", "example.de")),
    ('MAIL FROM:<"a b"@host>', Address('"a b"', "host")),
    ("MAIL FROM:<user@[10.0.0.1]>", Address("user", "[10.0.0.1]")),
    ("MAIL FROM:<user@[IPv6:::1]>", Address("user", "[IPv6:::1]")),
    ("MAIL FROM:<user@[future:something]>", Address("user", "[future:something]")),
    ("RCPT TO:<PostMaster>", Address("postmaster", "")),
    ("RCPT TO:<postmaster@Host>", Address("postmaster", "host")),
    ("RCPT TO: <user@host> NOTIFY=NEVER", Address("user", "host")),
]


@pytest.mark.parametrize(("line", "verb", "answer"), LINES)
def test_refusals(line, verb, answer):
    """Every line that is not to be carried out has KumoMTA's refusal."""
    command = parse(line)
    assert command.verb.value == verb
    assert command.refusal.wire.decode().startswith(answer)
    assert command.refusal.wire.endswith(b"\r\n")


@pytest.mark.parametrize(("line", "address"), ADDRESSES)
def test_addresses(line, address):
    """The mailbox without route and brackets, its domain in lower-case A-labels."""
    command = parse(line)
    assert command.refusal is None
    assert command.verb is (Verb.RCPT if line.startswith("RCPT") else Verb.MAIL)
    assert command.address == address


def test_auth_and_its_initial_response():
    """The mechanism as it was written; `=` is an empty response, not none."""
    assert parse("AUTH PLAIN") == Command(Verb.AUTH, "PLAIN")
    assert parse("auth plain =").initial == "="
    assert parse("AUTH NTLM TlRM").argument == "NTLM"


def test_declared_size():
    """SIZE is read wherever it stands, and only as a number."""
    assert declared_size(parse("MAIL FROM:<a@b> BODY=7BIT size=12").parameters) == 12
    assert declared_size(parse("MAIL FROM:<a@b> SIZE=x").parameters) == 0
    assert declared_size(parse(f"MAIL FROM:<a@b> SIZE={'9' * 4000}").parameters) == 0


NAMES = {
    "Partial": "PARTIAL",
    "ParseError": "UNPARSEABLE",
    "MailFrom": "MAIL",
    "RcptTo": "RCPT",
    **dict.fromkeys(("Unknown", "Help", "Vrfy", "Expn", "Lhlo"), "UNIMPLEMENTED"),
}


def test_vectors_of_kumomta(shared):
    """All of KumoMTA's own parser vectors: the same command, and the same reply when refused."""
    vectors = json.loads((shared / "kumomta/vectors/smtp_command_vectors.json").read_text())
    assert len(vectors) > 40
    for vector in vectors:
        command = parse(vector["line"])
        name, _, detail = vector["parse"].partition("(")
        assert command.verb.value == NAMES.get(name, name.upper()), vector
        expected = vector["response_if_rejected"]
        if name == "Auth":
            assert command.refusal is None  # the session refuses it
        elif expected is None:
            assert command.refusal is None, vector
        else:
            wanted = expected.partition(" <multi-line")[0]
            assert command.refusal.wire.decode().replace("501-", "501 ").startswith(wanted)
        if detail.startswith("domain="):
            assert command.address.domain == detail[7:-1]


VERBS = ["EHLO ", "MAIL FROM:<", "RCPT TO:", "AUTH ", "XCLIENT ", "NOOP", "", "MAIL FROM:<@"]


@given(st.sampled_from(VERBS), st.text(max_size=100))
def test_any_text_has_an_answer(verb, text):
    """Nothing raises, and a refusal is one reply, whatever control characters are in the line."""
    command = parse(verb + text)
    if command.refusal:
        lines = command.refusal.wire.decode().split("\r\n")
        assert lines.pop() == ""
        code = str(command.refusal.code)
        assert all(line.startswith(code + "-") for line in lines[:-1])
        assert lines[-1].startswith(code + " ")
        assert all(line.isprintable() for line in lines)
    else:
        assert command.address.domain == command.address.domain.strip()
        assert "\n" not in str(command.address) + command.argument


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:<" + "a." * 490,
        "MAIL FROM:<" + "@a," * 320,
        "MAIL FROM:<" + '"' * 900,
        "MAIL FROM:<a@b> " + "A=b " * 240 + "!",
        "EHLO " + "a-" * 490 + "!",
        "XCLIENT " + "a=b " * 240,
    ],
)
def test_hostile_lines_cost_nothing(line):
    """No line of the permitted length makes an expression go back and forth."""
    for _ in range(1000):
        parse(line)


@pytest.mark.parametrize(
    "address",
    [
        "x@In.Test",
        "x@M\u00dcNCHEN.de",
        "x@\u2615.example",
        "x@a_b.M\u00fcnch.de",
        "x@[10.0.0.1]",
        "x@[IPv6:0:0::1]",
        "x@[IPv6:::FFFF:10.0.0.1]",
        "@a,@b:u@C.d",
        '"a@b"@c.D',
        "Postmaster",
    ],
)
def test_a_recipients_domain_is_what_relay_rules_are_looked_up_by(address):
    """`guard relay-check` must find what the listener finds."""
    assert parse(f"RCPT TO:<{address}>").address.domain == domain_of(address)
