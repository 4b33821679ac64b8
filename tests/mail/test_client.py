"""One connection to one host, against servers that do as the test says."""

import asyncio
import base64
import ssl
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from next_hops import Hop, closed_port, talking

from guard.mail.client import Terms, Timeouts, connect
from guard.mail.content import Mail, facts
from guard.mail.policy import Policy
from guard.mail.replies import Undeliverable, one_line
from guard.mail.resolver import Host
from guard.mail.terms import TermsMaker

PATIENT = Timeouts(connect=30, greeting=30, command=30, data=30, dot=30, quit=1)
TERMS = Terms("me.test", "off", None, timeouts=PATIENT)
BODY = b"Subject: x\r\n\r\n.dot\r\n..two\r\n"


def host(hop: Hop) -> Host:
    """`hop` by the name that its certificate has."""
    return Host("localhost", "127.0.0.1", hop.port)


def mail(*recipients: str, sender: str = "a@b.test", body: bytes = BODY) -> Mail:
    """A transaction."""
    return Mail(sender, recipients or ("x@y.test",), len(body), facts([body]))


async def pieces(body: bytes = BODY, size: int = 7) -> AsyncIterator[bytes]:
    """A body in small pieces."""
    for i in range(0, len(body), size):
        yield body[i : i + size]


async def send(hop: Hop, *mails: Mail, terms: Terms = TERMS, body: bytes = BODY) -> list[object]:
    """Sends `mails` over one connection; the outcomes of each, or the reason why there are none."""
    async with hop:
        results: list[object] = []
        try:
            connection = await connect(host(hop), terms)
        except Undeliverable as error:
            return [one_line(error.response)]
        try:
            for one in mails:
                try:
                    outcome = await connection.send(one, pieces(body))
                except Undeliverable as error:
                    results.append(one_line(error.response))
                else:
                    results.append({a: one_line(r) for a, r in outcome.items()})
        finally:
            await connection.quit()
        return results


def run(hop: Hop, *mails: Mail, terms: Terms = TERMS, body: bytes = BODY) -> list[object]:
    """`send`, from a test that is no coroutine."""
    return asyncio.run(send(hop, *mails, terms=terms, body=body))


def test_two_messages_on_one_connection():
    """Bytes arrive as they were, dots and all; the connection is used again without RSET."""
    hop = Hop()
    taken = {"x@y.test": "250 2.0.0 taken"}
    assert run(hop, mail(), mail("x@y.test", "z@y.test", sender="")) == [
        taken,
        {**taken, "z@y.test": "250 2.0.0 taken"},
    ]
    first, second = hop.messages
    assert first.data == second.data == BODY
    assert (first.sender, first.recipients) == (
        f"MAIL FROM:<a@b.test> SIZE={len(BODY)}",
        ["x@y.test"],
    )
    assert second.sender == f"MAIL FROM:<> SIZE={len(BODY)}"
    assert hop.connections == 1
    assert hop.commands[0] == "EHLO me.test"
    assert hop.commands[-1] == "QUIT"
    assert "RSET" not in hop.commands


def test_every_recipient_has_its_own_reply():
    """4xx and 5xx of RCPT are of that recipient; the others get the message."""
    hop = Hop(answers={"RCPT TO:<NO": "550 5.1.1 who?", "RCPT TO:<LATER": "450 4.2.0 grey"})
    (found,) = run(hop, mail("no@y.test", "x@y.test", "later@y.test"))
    assert found == {
        "no@y.test": "550 5.1.1 who?",
        "x@y.test": "250 2.0.0 taken",
        "later@y.test": "450 4.2.0 grey",
    }
    assert hop.messages[0].recipients == ["x@y.test"]


def test_nobody_accepted_is_no_data():
    """And the next transaction begins with RSET."""
    hop = Hop(answers={"RCPT TO:<NO": "550 no"})
    assert run(hop, mail("no@y.test"), mail()) == [
        {"no@y.test": "550 no"},
        {"x@y.test": "250 2.0.0 taken"},
    ]
    assert hop.commands.index("RSET") > hop.commands.index("RCPT TO:<no@y.test>")
    assert hop.commands.count("DATA") == 1


@pytest.mark.parametrize("code", [452, 552])
def test_too_many_recipients_are_left_for_the_next(code: int):
    """RFC 5321 4.5.3.1.10: not an outcome, as long as others were accepted; alone it is one."""
    hop = Hop(answers={"RCPT TO:<B": f"{code} too many"})
    assert run(hop, mail("a@y.test", "b@y.test"), mail("b@y.test")) == [
        {"a@y.test": "250 2.0.0 taken"},
        {"b@y.test": f"{code} too many"},
    ]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ({"MAIL": "451 4.7.1 not now"}, "451 4.7.1 not now"),
        ({"MAIL": "550 5.7.1 never"}, "550 5.7.1 never"),
        ({"MAIL": "354 what"}, "451 what"),
        ({"MAIL": None}, "451 4.4.2 MAIL: Unexpected EOF received"),
        ({"DATA": "554 5.5.1 no"}, {"x@y.test": "554 5.5.1 no"}),
        # No 354, so that nothing was sent: this must not count as delivered.
        ({"DATA": "250 odd"}, {"x@y.test": "451 odd"}),
        ({"DATA": None}, "451 4.4.2 DATA: Unexpected EOF received"),
        ({".": "554 5.7.1 spam"}, {"x@y.test": "554 5.7.1 spam"}),
        ({".": "451 4.3.0 later"}, {"x@y.test": "451 4.3.0 later"}),
        ({".": None}, {"x@y.test": "451 4.4.2 the message: Unexpected EOF received"}),
        ({".": "999 what"}, {"x@y.test": "451 what"}),
        (
            {".": "garbage"},
            {"x@y.test": "451 4.4.2 the message: Malformed SMTP response line: garbage"},
        ),
        ({"RCPT": "421 4.3.2 closing"}, {"x@y.test": "421 4.3.2 closing"}),
        ({"RCPT": "251 will forward"}, {"x@y.test": "250 2.0.0 taken"}),
    ],
)
def test_what_servers_do(answers: dict[str, object], expected: object):
    """Whatever it is, it is a reply for every recipient."""
    assert run(Hop(answers=answers), mail()) == [expected]


def test_421_in_the_middle_of_recipients():
    """Those accepted before are not served: the server is gone."""
    hop = Hop(answers={"RCPT TO:<B": "421 4.3.2 closing"})
    (found,) = run(hop, mail("a@y.test", "b@y.test", "c@y.test"))
    assert found == {
        "a@y.test": "451 4.4.2 the server closed the connection",
        "b@y.test": "421 4.3.2 closing",
        "c@y.test": "421 4.3.2 closing",
    }
    assert not hop.messages


@pytest.mark.parametrize(
    ("hop", "expected"),
    [
        (Hop(greeting="554 go away"), "451 4.4.0 localhost greets with 554 go away"),
        (Hop(greeting="421 4.3.2 busy"), "451 4.4.0 localhost greets with 421 4.3.2 busy"),
        (Hop(greeting=None), "451 4.4.2 the greeting: Unexpected EOF received"),
        (Hop(answers={"EHLO": None}), "451 4.4.2 EHLO: Unexpected EOF received"),
        (
            Hop(answers={"EHLO": "502 what", "HELO": "550 no"}),
            "451 4.4.0 localhost answers HELO with 550 no",
        ),
    ],
)
def test_no_conversation(hop: Hop, expected: str):
    """Always temporary: another host, or another day."""
    assert run(hop, mail()) == [expected]


def test_helo_for_servers_of_old():
    """Nothing is offered, so nothing is used."""
    hop = Hop(answers={"EHLO": "502 what"})
    assert run(hop, mail()) == [{"x@y.test": "250 2.0.0 taken"}]
    assert hop.messages[0].sender == "MAIL FROM:<a@b.test>"


def test_nobody_there():
    """A refused connection says so."""

    async def dial() -> None:
        await connect(Host("localhost", "127.0.0.1", closed_port()), TERMS)

    with pytest.raises(Undeliverable, match=r"451 4\.4\.2 connecting to 127\.0\.0\.1 port \d+: "):
        asyncio.run(dial())


@pytest.mark.parametrize("stage", ["greeting", "command", "dot"])
def test_silence_times_out(stage: str):
    """A server that says nothing is not waited for."""
    quick = Timeouts(connect=1, greeting=0.2, command=0.2, data=0.2, dot=0.2, quit=0.1)
    terms = Terms("me.test", "off", None, timeouts=quick)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = {"greeting": [], "command": [b"220 hi\r\n", b"250 hi\r\n"]}
        for line in script.get(
            stage, [b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"]
        ):
            writer.write(line)
            await reader.readline()
        await reader.read()

    async def main() -> str:
        async with talking(talk) as port:
            try:
                connection = await connect(Host("h", "127.0.0.1", port), terms)
                found = await connection.send(mail(), pieces())
                connection.close()
            except Undeliverable as error:
                return one_line(error.response)
            return one_line(found["x@y.test"])

    assert asyncio.run(main()).endswith("timed out")


@pytest.mark.parametrize(
    ("extensions", "message", "sender", "expected"),
    [
        (["8BITMIME"], "Subject: x\r\n\r\nö", "a@b", "MAIL FROM:<a@b> BODY=8BITMIME"),
        (
            ["8BITMIME", "SMTPUTF8"],
            "Subject: ö\r\n\r\n",
            "a@b",
            "MAIL FROM:<a@b> BODY=8BITMIME SMTPUTF8",
        ),
        (["8BITMIME"], "Subject: ö\r\n\r\n", "a@b", "MAIL FROM:<a@b> BODY=8BITMIME"),
        (["SMTPUTF8"], "Subject: x\r\n\r\n", "ö@b", "MAIL FROM:<ö@b> SMTPUTF8"),
        ([], "Subject: x\r\n\r\n", "a@b", "MAIL FROM:<a@b>"),
        (["SIZE"], "Subject: x\r\n\r\n", "a@b", "MAIL FROM:<a@b> SIZE=14"),
        (["SIZE 0"], "Subject: x\r\n\r\n", "a@b", "MAIL FROM:<a@b> SIZE=14"),
        ([], "Subject: x\r\n\r\nö", "a@b", "554 5.6.3 localhost takes no 8-bit messages"),
        ([], "Subject: x\r\n\r\n", "ö@b", "553 5.6.7 localhost takes no addresses beyond ASCII"),
        (["SIZE 10"], "Subject: x\r\n\r\n", "a@b", "552 5.3.4 localhost takes at most 10 bytes"),
    ],
)
def test_only_what_the_server_offers(
    extensions: list[str], message: str, sender: str, expected: str
):
    """8BITMIME, SMTPUTF8 and SIZE are used where offered, and missed where needed."""
    hop, body = Hop(extensions=[*extensions, "X"]), message.encode()
    (found,) = run(hop, mail(sender=sender, body=body), body=body)
    if expected.startswith("MAIL"):
        assert hop.messages[0].sender == expected
        assert hop.messages[0].data.rstrip() == body.rstrip()
    else:
        assert found == expected


@pytest.mark.parametrize("offers", [["8BITMIME"], ["8BITMIME", "SMTPUTF8"]])
@pytest.mark.parametrize("subject", ["ö", "o"])
def test_a_message_that_came_with_smtputf8(offers: list[str], subject: str):
    """International headers go only to a server that knows them (RFC 6531, 3.4 and 3.5)."""
    hop, body = Hop(extensions=offers), f"Subject: {subject}\r\n\r\nö\r\n".encode()
    asked = replace(mail(body=body), smtputf8=True)
    (found,) = run(hop, asked, body=body)
    if subject == "ö" and "SMTPUTF8" not in offers:
        assert found == "554 5.6.9 localhost takes no headers beyond ASCII"
        assert not hop.messages
    else:
        assert hop.messages[0].sender.endswith(" SMTPUTF8") is (subject == "ö")


def test_an_address_with_a_line_end_injects_nothing():
    """The listener takes none; here it would be refused as well."""
    hop = Hop()
    (found,) = run(hop, mail("x@y>\r\nRCPT TO:<evil@y.test"))
    assert found == {
        "x@y>\r\nRCPT TO:<evil@y.test": "553 5.1.3 the address cannot be written in SMTP"
    }
    assert not any("evil" in command for command in hop.commands)


def test_an_answer_before_the_end_of_the_message():
    """A server that has enough of it is heard."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in (b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"):
            writer.write(line)
            await reader.readline()
        writer.write(b"552 5.3.4 enough\r\n")
        await writer.drain()
        while await reader.read(65536):
            pass

    async def main() -> str:
        async with talking(talk) as port:
            connection = await connect(Host("h", "127.0.0.1", port), TERMS)
            found = await connection.send(mail(), pieces(b"line\r\n" * 1_000_000, 65536))
            connection.close()
            return one_line(found["x@y.test"])

    assert asyncio.run(main()) == "552 5.3.4 enough"


# TLS and AUTH


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key in one file."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key = path.with_name("key.pem")
    subprocess.run(
        [
            *[
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ],
            *["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
            *("-keyout", str(key), "-out", str(path)),
        ],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + key.read_bytes())
    return path


def server_side(certificate: Path) -> ssl.SSLContext:
    """A server's context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def terms(mode: str, authority: Path | None = None, **more: object) -> Terms:
    """Terms as the daemon makes them."""
    policy = Policy(tls=mode, tls_ca=authority, **more)  # type: ignore[arg-type]
    return TermsMaker("me.test", PATIENT).of(policy)


def test_opportunistic_tls(certificate: Path):
    """Used when offered, whatever the certificate; EHLO is said again inside."""
    hop = Hop(tls=server_side(certificate))
    run(hop, mail(), terms=terms("opportunistic"))
    assert hop.messages[0].tls
    assert hop.commands[:3] == ["EHLO me.test", "STARTTLS", "EHLO me.test"]


@pytest.mark.parametrize("mode", ["opportunistic", "off"])
def test_no_tls_where_none_is_offered_or_wanted(certificate: Path, mode: str):
    """Mail goes all the same."""
    hop = Hop(tls=server_side(certificate) if mode == "off" else None)
    run(hop, mail(), terms=terms(mode))
    assert not hop.messages[0].tls


@pytest.mark.parametrize("answer", ["454 4.7.0 not now", "220 go, but it will not", None])
def test_opportunistic_tls_that_fails_is_left_out(answer: str | None):
    """A second attempt without: refused, hung up, or plain SMTP where a handshake is due."""
    hop = Hop(answers={"STARTTLS": answer}, extensions=["STARTTLS"])
    assert run(hop, mail(), terms=terms("opportunistic")) == [{"x@y.test": "250 2.0.0 taken"}]
    assert hop.connections == 2
    assert not hop.messages[0].tls


def test_required_tls(certificate: Path):
    """Verified against the authority that was named; recorded with cipher and version."""

    async def main() -> object:
        hop = Hop(tls=server_side(certificate))
        async with hop:
            connection = await connect(host(hop), terms("required", certificate))
            await connection.send(mail(), pieces())
            await connection.quit()
            return connection.tls, hop.messages[0].tls

    tls, used = asyncio.run(main())  # type: ignore[misc]
    assert used
    assert tls.version.startswith("TLSv1.")
    assert tls.cipher


def test_required_tls_that_is_not_to_be_had(certificate: Path):
    """Not offered, or not proven: no mail, and no second attempt without."""
    without = Hop()
    assert run(without, mail(), terms=terms("required", certificate)) == [
        "451 4.7.4 localhost offers no STARTTLS, which is required"
    ]
    unproven = Hop(tls=server_side(certificate))
    (reason,) = run(unproven, mail(), terms=terms("required"))
    assert isinstance(reason, str)
    assert reason.startswith("451 4.7.5 TLS with localhost failed: self")
    assert unproven.connections == 1
    insecure = Hop(tls=server_side(certificate))
    run(insecure, mail(), terms=terms("required-insecure"))
    assert insecure.messages[0].tls


def test_implicit_tls(certificate: Path, tmp_path: Path):
    """TLS from the start, proven, with AUTH; without proof, or where there is none, no mail."""
    (tmp_path / "secret").write_text("x")
    own = {"username": "joe", "password_file": tmp_path / "secret"}
    hop = Hop(tls=server_side(certificate), implicit=True, extensions=["AUTH PLAIN"])
    hop.answers = {"AUTH": "235 2.7.0 welcome"}
    found = run(hop, mail(), terms=terms("implicit", certificate, **own))
    assert found == [{"x@y.test": "250 2.0.0 taken"}]
    assert "STARTTLS" not in hop.commands
    unproven = Hop(tls=server_side(certificate), implicit=True)
    (reason,) = run(unproven, mail(), terms=terms("implicit"))
    assert isinstance(reason, str)
    assert reason.startswith("451 4.7.5 TLS with localhost failed: self")
    (reason,) = run(Hop(), mail(), terms=terms("implicit", certificate))
    assert isinstance(reason, str)
    assert reason.startswith("451 4.7.5 TLS with localhost failed: ")


@pytest.mark.parametrize("offer", ["AUTH PLAIN LOGIN", "AUTH LOGIN", "AUTH=PLAIN"])
def test_auth(certificate: Path, tmp_path: Path, offer: str):
    """PLAIN, else LOGIN, over TLS only; the password is read from its file."""
    (tmp_path / "secret").write_text("pässword\n")
    hop = Hop(tls=server_side(certificate), extensions=[offer])
    hop.answers = {
        "AUTH PLAIN": "235 2.7.0 welcome",
        "AUTH LOGIN": "334 VXNlcm5hbWU6",
        base64.b64encode(b"joe").decode().upper(): "334 UGFzc3dvcmQ6",
        base64.b64encode("pässword".encode()).decode().upper(): "235 2.7.0 welcome",
    }
    own = terms("opportunistic", username="joe", password_file=tmp_path / "secret")
    assert run(hop, mail(), terms=own) == [{"x@y.test": "250 2.0.0 taken"}]
    said = next(c for c in hop.commands if c.startswith("AUTH"))
    if "PLAIN" in offer:
        assert base64.b64decode(said.split()[2]).decode() == "\0joe\0pässword"


def test_no_password_in_the_clear(certificate: Path, tmp_path: Path):
    """Without TLS, with a broken one, without a mechanism, with a wrong password: no mail yet."""
    (tmp_path / "secret").write_text("x")
    own = terms("opportunistic", username="joe", password_file=tmp_path / "secret")
    plain = Hop(extensions=["AUTH PLAIN"])
    assert run(plain, mail(), terms=own) == [
        "451 4.7.4 localhost offers no TLS, and a password is not sent without"
    ]
    broken = Hop(extensions=["AUTH PLAIN", "STARTTLS"], answers={"STARTTLS": "454 no"})
    (reason,) = run(broken, mail(), terms=own)
    assert isinstance(reason, str)
    assert reason.startswith("451 ")
    assert broken.connections == 1
    odd = Hop(tls=server_side(certificate), extensions=["AUTH CRAM-MD5"])
    assert run(odd, mail(), terms=own) == [
        "451 4.7.0 localhost offers neither AUTH PLAIN nor LOGIN"
    ]
    wrong = Hop(tls=server_side(certificate), extensions=["AUTH PLAIN"])
    wrong.answers = {"AUTH": "535 5.7.8 bad credentials"}
    assert run(wrong, mail(), terms=own) == [
        "451 4.4.0 localhost answers AUTH with 535 5.7.8 bad credentials"
    ]
    assert not any("AUTH" in c for hop in (plain, broken, odd) for c in hop.commands)


def test_a_password_file_that_is_not_there(tmp_path: Path):
    """It holds the mail up, and names the file."""
    with pytest.raises(Undeliverable, match=r"451 4\.3\.5 .*missing: No such file"):
        terms("opportunistic", username="joe", password_file=tmp_path / "missing")
    with pytest.raises(Undeliverable, match=r"451 4\.3\.5 .*missing"):
        terms("required", tmp_path / "missing")


@given(st.binary(max_size=200), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_any_bytes_for_a_reply(garbage: bytes, good: int):
    """Whatever a server says, and when: outcomes, or Undeliverable, and nothing else."""
    script = [b"220 x\r\n", b"250 x\r\n", b"250 x\r\n", b"250 x\r\n", b"354 x\r\n"][:good]

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for line in script:
            writer.write(line)
            await reader.readline()
        writer.write(garbage)

    async def main() -> None:
        async with talking(talk) as port:
            try:
                connection = await connect(Host("h", "127.0.0.1", port), TERMS)
                found = await connection.send(mail(), pieces())
                assert found.keys() == {"x@y.test"}
                await connection.quit()
            except Undeliverable as error:
                assert one_line(error.response)

    asyncio.run(main())
