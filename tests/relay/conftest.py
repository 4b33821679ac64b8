"""A real listener on loopback with real rules, TLS and passwords, and smtplib as its client."""

import asyncio
import smtplib
import ssl
import subprocess
import threading

import pytest
import uvloop

from guard.lib.fields import Endpoint
from guard.lib.networks import parse_network
from guard.mail.reports import read_report
from guard.mail.spool import FileSpool
from guard.relay.live import Live, Rules
from guard.smtp.server import Server
from guard.smtp.settings import ListenerSettings


class Notes(list):
    """A Sink that keeps what it is given."""

    def put(self, record):
        """Keeps `record`."""
        self.append(record)


class Client(smtplib.SMTP):
    """smtplib's, with a word for what these tests do all the time."""

    def to(self, recipient, sender="a@sender.test"):
        """The reply to RCPT, in a transaction of its own."""
        self.rset()
        assert self.mail(sender)[0] == 250
        code, text = self.rcpt(recipient)
        return f"{code} {text.decode()}"


class Running:
    """A listener in a thread of its own."""

    def __init__(self, folder, certificate, rules):
        self.records = Notes()
        self.spool = FileSpool(folder / "spool")
        self.spool.open()
        self.live = Live(rules)
        self.server = Server(
            ListenerSettings(
                listen=Endpoint("127.0.0.1", 0),
                hostname="mx.example.com",
                tls_certificate=certificate,
                tls_private_key=certificate,
            ),
            policy=self.live.policy,
            spool=self.spool,
            sink=self.records,
            nodeid="dd2b41fd-78f0-4105-8cd9-01ac7114cada",
            clock=lambda: 1757675281.0,
            authenticator=self.live if self.live.authenticates else None,
            reports=read_report,
        )
        self.loop = uvloop.new_event_loop()  # as `guard up` has it
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.call(self.server.start())
        self.port = self.server.addresses[0].port

    def call(self, coroutine):
        """What `coroutine` gives on the listener's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def replace(self, rules):
        """Puts new rules in force, as a reload does."""
        apply = self.live.prepare(rules)
        self.loop.call_soon_threadsafe(apply)
        self.call(asyncio.sleep(0))

    def stop(self):
        """Ends the listener."""
        self.call(self.server.stop(0.0))
        self.call(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.live.close()

    def client(self, source="127.0.0.66"):
        """A client that comes from an address of its own, and has said EHLO."""
        client = Client("127.0.0.1", self.port, timeout=20, source_address=(source, 0))
        client.ehlo("client.test")
        return client

    def logged_in(self, user, password, source="127.0.0.66"):
        """A client that is encrypted and authenticated."""
        client = self.client(source)
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        client.starttls(context=trust)
        try:
            client.login(user, password)
        except smtplib.SMTPAuthenticationError:
            client.close()
            raise
        return client


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate and its key in one file."""
    path = tmp_path_factory.mktemp("tls") / "mx.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    options = ["-subj", "/CN=mx.example.com", "-keyout", path, "-out", path.with_suffix(".crt")]
    subprocess.run([*command.split(), *options], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".crt").read_bytes())
    return path


@pytest.fixture
def listen(tmp_path, certificate):
    """Starts listeners by their rules and stops them all."""
    started = []

    def start(*, relay_hosts=(), **rules):
        hosts = [parse_network(host) for host in relay_hosts]
        started.append(Running(tmp_path, certificate, Rules(relay_hosts=hosts, **rules)))
        return started[-1]

    yield start
    for running in started:
        running.stop()
