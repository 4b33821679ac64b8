"""STARTTLS and implicit TLS over real sockets, and certificates that change."""

import os
import socket
import ssl
import subprocess
from base64 import b64encode

import pytest
from listening import HOST, Client, make_certificate

from guard.roles import Refused
from guard.smtp.tls import Certificates


def test_starttls_then_mail(listen, certificate):
    """The session goes on inside TLS, and header and record tell of it."""
    server = listen(relay_hosts=["127.0.0.1"], **certificate)
    with server.connect() as client:
        client.say("EHLO before.example")
        assert client.say("STARTTLS") == "220 Ready to Start TLS"
        tls = client.secure()
        assert tls.version() in ("TLSv1.2", "TLSv1.3")
        client.say("EHLO after.example")
        client.mail("b@example.net")
        client.say("DATA")
        assert client.say("Subject: x\r\n\r\n" + "y" * 900 + "\r\n.").startswith("250 OK ids=")
        version, cipher = tls.version(), tls.cipher()[0]
        client.say("QUIT")
        assert client.rest() == b""
    [(envelope, message)] = server.mails()
    assert b"from after.example (127.0.0.1)" in message
    assert f"with ESMTPS ({version}:{cipher}) id ".encode() in message
    assert envelope["meta"]["reception_protocol"] == "ESMTPS"
    [record] = server.notes.records
    assert (record.tls_protocol_version, record.tls_cipher) == (version, cipher)


def test_implicit_tls(listen, certificate, accounts):
    """On such a port nothing is said in the clear, AUTH is offered, and STARTTLS is not."""
    server = listen(tls_implicit=True, authenticator=accounts, **certificate)
    with Client(server.address) as client:
        client.secure()
        assert client.reply().startswith(f"220 {HOST} ")
        answer = client.say("EHLO x")
        assert answer.endswith("\n250 AUTH PLAIN")
        assert "STARTTLS" not in answer
        assert client.say("AUTH PLAIN AGRhbmllbAB0aWdlcg==") == "235 2.7.0 AUTH OK!"
    with Client(server.address) as client:
        client.send("EHLO plain.example\r\n")
        assert b"220" not in client.rest()
    assert server.notes.records == []


def test_a_large_message_over_tls(listen, certificate):
    """Five megabytes in many TLS records arrive as they were sent."""
    server = listen(relay_hosts=["127.0.0.1"], **certificate)
    body = b"".join(
        b"%07d " % number + os.urandom(400).hex().encode() + b"\r\n" for number in range(6000)
    )
    with server.connect() as client:
        client.say("STARTTLS")
        client.secure()
        client.mail("b@example.net")
        client.say("DATA")
        client.send(body + b".\r\n")
        assert client.reply().startswith("250 OK ids=")
    [(_, message)] = server.mails()
    assert message.endswith(body)


@pytest.mark.parametrize("said", [b"EHLO x\r\n", b"\x16\x03\x01\x00\x05hello", b"\0" * 5000])
def test_a_failed_handshake_closes(listen, certificate, said):
    """Nothing goes on in the clear after STARTTLS, and no rejection is recorded."""
    server = listen(**certificate)
    with server.connect() as client:
        client.say("STARTTLS")
        client.send(said)
        assert b"250" not in client.rest()
    assert server.notes.records == []
    with server.connect() as client:
        assert client.say("NOOP").startswith("250 ")


def test_failed_handshakes_do_not_fill_the_log(listen, certificate, caplog):
    """A line says who failed and why; that it happens again and again is not a line each time."""
    server = listen(**certificate)
    for _ in range(5):
        with server.connect() as client:
            client.say("STARTTLS")
            client.send(b"EHLO x\r\n")
            client.rest()
    assert [r.message for r in caplog.records if "TLS" in r.message] == [
        "TLS with 127.0.0.1 failed: WRONG_VERSION_NUMBER"
    ]


def test_an_unfinished_handshake_is_closed_in_time(listen, certificate):
    """Who stays silent after STARTTLS hears nothing in the clear and is closed."""
    server = listen(client_timeout=0.3, **certificate)
    with server.connect() as client:
        client.say("STARTTLS")
        assert client.rest() == b""
    assert not server.server._connections


def test_old_versions_are_refused(listen, certificate):
    """TLS 1.1 and older get no connection."""
    server = listen(**certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    # Setting the version is deprecated, which is the reason for this test.
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with server.connect() as client:
        client.say("STARTTLS")
        with pytest.raises(OSError, match=r"(?i)ssl|tls|version|reset|EOF"):
            context.wrap_socket(client.socket)


def subject(server):
    """The certificate that a new client is shown, in DER."""
    with server.connect() as client:
        client.say("STARTTLS")
        return client.secure().getpeercert(binary_form=True)


def test_a_renewed_certificate_is_shown_to_the_next_client(listen, tmp_path):
    """Without a restart; sessions under way go on; what cannot be read leaves the old one."""
    settings = make_certificate(tmp_path)
    server = listen(**settings)
    first = subject(server)
    with server.connect() as client:
        client.say("STARTTLS")
        client.secure()
        settings["tls_certificate"].write_text("rubbish")
        with pytest.raises(Refused):
            server.server.prepare(server.server.settings)
        assert subject(server) == first
        make_certificate(tmp_path)
        server.loop.call_soon_threadsafe(server.server.prepare(server.server.settings), None)
        assert subject(server) != first
        assert client.say("NOOP").startswith("250 ")


def test_a_changed_file_is_noticed(tmp_path):
    """At the next handshake a second later or more."""
    settings, now = make_certificate(tmp_path), [0.0]
    certificates = Certificates(*settings.values(), lambda: now[0])
    first = certificates.context
    make_certificate(tmp_path)
    now[0] = 0.9
    assert certificates.context is first
    now[0] = 1.0
    second = certificates.context
    assert second is not first
    now[0] = 2.0
    assert certificates.context is second
    settings["tls_private_key"].unlink()
    now[0] = 3.0
    assert certificates.context is second


@pytest.mark.parametrize("text", [None, "", "rubbish"])
def test_no_start_without_a_usable_certificate(listen, tmp_path, text):
    """The operator is told the file; nothing listens."""
    settings = make_certificate(tmp_path)
    settings["tls_certificate"].unlink()
    if text is not None:
        settings["tls_certificate"].write_text(text)
    with pytest.raises(Refused, match=r"mx\.example\.com\.pem"):
        listen(**settings)


def test_what_is_wrong_with_a_certificate_is_said_in_words(tmp_path):
    """Which file is missing, whose key it is, and that nobody can be asked for a password."""
    mine = make_certificate(tmp_path)
    other = make_certificate(tmp_path, "other.example.com")
    certificate, key = mine["tls_certificate"], mine["tls_private_key"]
    locked, absent = tmp_path / "locked.key", tmp_path / "absent.key"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:tiger", "-in", key, "-out", locked],
        check=True,
        capture_output=True,
    )
    for bad, words in (
        (other["tls_private_key"], f"{certificate} and .*: the key belongs to another certificate"),
        (certificate, "not PEM"),
        (absent, f"^{absent}: No such file or directory"),
        (locked, f"^{locked}: is encrypted"),
    ):
        with pytest.raises(Refused, match=words):
            Certificates(certificate, bad, lambda: 0.0)


def test_the_client_closes_tls_and_waits(listen, certificate):
    """A close_notify is answered by the same, and the socket closes."""
    server = listen(**certificate)
    with server.connect() as client:
        client.say("STARTTLS")
        client.secure()
        client.file.close()
        plain = client.socket.unwrap()
        client.file = plain.makefile("rb")
        assert client.rest() == b""
        plain.close()


def test_guesses_of_an_address_are_limited(listen, certificate, accounts):
    """Beyond max_auth_guesses an address is turned away before its password is looked at."""
    server = listen(authenticator=accounts, max_auth_guesses=2, **certificate)
    answers = []
    for password in ("lion", "cat", "tiger"):
        with server.connect() as client:
            client.say("STARTTLS")
            client.secure()
            client.say("EHLO x")
            secret = b64encode(f"\0daniel\0{password}".encode()).decode()
            answers.append(client.say(f"AUTH PLAIN {secret}"))
    assert answers[:2] == ["535 5.7.8 AUTH invalid"] * 2
    assert answers[2] == "421 4.7.0 mx.example.com too many authentication failures"
    assert [row[3] for row in server.notes.rejections()] == ["auth_failed"] * 3


def test_plain_socket_beside(listen, certificate):
    """A listener with a certificate still serves those who do not want it."""
    server = listen(**certificate)
    with socket.create_connection(server.address, 10) as plain:
        assert plain.recv(4) == b"220 "
