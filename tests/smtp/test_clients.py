"""Clients that people really use, against a real listener: smtplib, swaks, msmtp, haproxy."""

import smtplib
import ssl
import subprocess
import time
from email.message import EmailMessage

import pytest
from listening import HOST, Client
from support import free_port

from guard.lib.fields import Endpoint
from guard.lib.networks import parse_network


def trusting(certificate):
    """A TLS context that believes the listener's certificate and no other."""
    return ssl.create_default_context(cafile=certificate["tls_certificate"])


def letter():
    """A message with what is hard: dots, 8-bit text, long words, an attachment."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "b@example.net", "Grüße"
    message.set_content(".\n..\n.x\nGrüße\n" + "y" * 2000 + "\n")
    message.add_attachment(bytes(range(256)) * 20, maintype="application", subtype="octet-stream")
    message.set_boundary("=-=-=")
    return message


def run(*command, data=b"", code=0):
    """Runs a program and returns its output; the exit code must be `code`."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=60)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout.decode()


def test_smtplib(listen, certificate, accounts):
    """STARTTLS, AUTH and a message with Python's own client."""
    server = listen(
        relay_hosts=["127.0.0.1"], authenticator=accounts, auth_login=True, **certificate
    )
    with smtplib.SMTP(*server.address, local_hostname="client.example.org") as client:
        client.starttls(context=trusting(certificate))
        client.ehlo()
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
        for mechanism in ("plain", "login"):
            client.user, client.password = "daniel", "lion"
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.auth(mechanism.upper(), getattr(client, f"auth_{mechanism}"))
        client.login("daniel", "tiger")
        sent = letter()
        assert client.send_message(sent) == {}
    [(envelope, message)] = server.mails()
    assert envelope["meta"]["authz_id"] == "daniel"
    assert b" with ESMTPSA (TLS" in message
    assert message.split(b"+0000\r\n", 1)[1] == sent.as_bytes().replace(b"\n", b"\r\n")


def test_smtplib_implicit_tls(listen, certificate):
    """SMTP_SSL, as on port 465."""
    server = listen(relay_hosts=["127.0.0.1"], tls_implicit=True, **certificate)
    context = trusting(certificate)
    with smtplib.SMTP_SSL(*server.address, local_hostname="c", context=context) as client:
        assert client.send_message(letter()) == {}
    assert len(server.mails()) == 1


def test_swaks(tool, listen, certificate, accounts):
    """swaks with pipelining, TLS and AUTH, and as somebody who may not relay."""
    swaks = tool("swaks")
    server = listen(authenticator=accounts, **certificate)
    host, port = server.address
    base = [swaks, "--server", f"{host}:{port}", "--from", "a@example.org", "--to", "b@example.net"]
    said = run(*base, "-tls", "-a", "PLAIN", "-au", "daniel", "-ap", "tiger", code=24)
    assert "235 2.7.0 AUTH OK!" in said
    assert "550 5.7.1 relaying not permitted for 127.0.0.1:" in said
    assert "535 5.7.8 AUTH invalid" in run(
        *base, "-tls", "-a", "PLAIN", "-au", "daniel", "-ap", "lion", code=28
    )
    trusted = listen(relay_hosts=["127.0.0.1"])
    host, port = trusted.address
    base[2] = f"{host}:{port}"
    assert "250 OK ids=" in run(*base, "--pipeline", "--body", "hello")
    assert len(trusted.mails()) == 1


def test_msmtp(tool, listen, certificate, accounts):
    """msmtp with STARTTLS and with TLS from the start, checking the certificate."""
    msmtp = tool("msmtp")
    for implicit in (False, True):
        server = listen(
            relay_hosts=["127.0.0.1"],
            authenticator=accounts,
            tls_implicit=implicit,
            **certificate,
        )
        host, port = server.address
        options = [
            f"--host={host}",
            f"--port={port}",
            "--tls=on",
            f"--tls-starttls={'off' if implicit else 'on'}",
            f"--tls-trust-file={certificate['tls_certificate']}",
            "--auth=plain",
            "--user=daniel",
            "--passwordeval=echo tiger",
            "--from=a@example.org",
        ]
        run(msmtp, *options, "b@example.net", data=letter().as_bytes())
        envelope, message = server.mails()[-1]
        assert envelope["meta"]["reception_protocol"] == "ESMTPSA"
        assert b"Content-Type: application/octet-stream" in message


@pytest.mark.parametrize("version", ["send-proxy", "send-proxy-v2"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_haproxy(tool, listen, tmp_path, version, address):
    """Behind haproxy the client's own address is seen, in both versions and families."""
    haproxy = tool("haproxy")
    server = listen(
        listen=Endpoint(address, 0), proxies=tuple(map(parse_network, ("127.0.0.1", "::1")))
    )
    front = free_port()
    shown = f"[{address}]" if ":" in address else address
    (tmp_path / "haproxy.cfg").write_text(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n"
        f"listen smtp\n bind {shown}:{front}\n server guard {shown}:{server.address[1]} {version}\n"
    )
    with subprocess.Popen([haproxy, "-db", "-f", tmp_path / "haproxy.cfg"]) as process:
        try:
            client = connect((address, front))
            with client:
                port = client.socket.getsockname()[1]
                assert client.reply().startswith(f"220 {HOST} ")
                assert client.mail("x@example.net") == (
                    f"550 5.7.1 relaying not permitted for {shown}:{port}"
                )
        finally:
            process.terminate()
    assert server.notes.records[0].peer_address.addr == address


def connect(address):
    """A client of a server that may still be starting."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return Client(address)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
