"""A real listener on loopback with a real spool and policy, and a client that reads replies."""

import asyncio
import base64
import json
import shutil
import socket
import ssl
import subprocess
import threading
from pathlib import Path

from support import need

from guard.lib.fields import Endpoint
from guard.lib.networks import parse_network
from guard.mail.spool import FileSpool
from guard.relay.policy import StaticPolicy
from guard.smtp.server import Server
from guard.smtp.settings import ListenerSettings

NODE = "dd2b41fd-78f0-4105-8cd9-01ac7114cada"
HOST = "mx.example.com"


class Notes:
    """A Sink that keeps what it is given."""

    def __init__(self):
        self.records = []

    def put(self, record):
        self.records.append(record)

    def rejections(self):
        """(code, content, command, kind) of every rejection."""
        return [
            (r.response.code, r.response.content, r.response.command, r.kind)
            for r in self.records
            if r.type == "Rejection"
        ]


class Running:
    """A listener in a thread of its own; `stop` is called by the fixture."""

    def __init__(self, loops, folder, *, policy=None, relay_hosts=(), now=None, **more):
        parts = {
            name: more.pop(name)
            for name in ("authenticator", "reports", "spool", "naming", "good")
            if name in more
        }
        self.notes = Notes()
        self.spool = parts.pop("spool", None) or FileSpool(folder / "spool")
        self.spool.open()
        hosts = tuple(map(parse_network, relay_hosts))
        endpoint = more.pop("listen", Endpoint("127.0.0.1", 0))
        settings = ListenerSettings(listen=endpoint, hostname=HOST, relay_hosts=hosts, **more)
        self.server = Server(
            settings,
            policy=policy or StaticPolicy(hosts),
            spool=self.spool,
            sink=self.notes,
            nodeid=NODE,
            clock=now or (lambda: 1757675281.440526026),
            **parts,
        )
        self.loop = loops()
        self.complaints = []
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        try:
            self.call(self.server.start())
        except BaseException:
            self.stop()
            raise
        self.address = tuple(self.server.addresses[0])

    def call(self, coroutine):
        """What `coroutine` gives on the listener's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def stop(self, grace=0.0):
        """Ends the listener; nothing of the loop may have complained."""
        if self.loop.is_closed():
            return
        self.call(self.server.stop(grace))
        self.call(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        left = asyncio.all_tasks(self.loop)
        self.loop.close()
        assert not left
        assert not self.complaints

    def connect(self):
        """A client that has read the banner."""
        client = Client(self.address)
        assert client.reply().startswith(f"220 {HOST} ")
        return client

    def mails(self):
        """Every message in the spool, with its envelope."""
        found = []
        for path in sorted(Path(self.spool.new).iterdir()):
            envelope, _, message = path.read_bytes().partition(b"\n")
            found.append((json.loads(envelope), message))
        return found


class Client:
    """A socket that reads whole replies."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, 5)
        self.file = self.socket.makefile("rb")

    def send(self, data):
        """Sends text or bytes as they are."""
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def reply(self):
        """One reply, its lines joined by newlines; empty when the connection is closed."""
        lines = []
        while True:
            line = self.file.readline()
            if not line:
                return "\n".join(lines)
            assert line.endswith(b"\r\n")
            lines.append(line[:-2].decode())
            if line[3:4] != b"-":
                return "\n".join(lines)

    def say(self, line):
        """Sends one command and returns its reply."""
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def mail(self, to, sender="a@example.org"):
        """MAIL and RCPT; the reply to the latter."""
        assert self.say(f"MAIL FROM:<{sender}>").startswith("250 ")
        return self.say(f"RCPT TO:<{to}>")

    def rest(self):
        """Everything up to the end of the connection, which the server must close."""
        return self.file.read()

    def secure(self):
        """Speaks TLS from here on, whoever the server says it is; its ssl socket."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.file.close()
        self.socket = context.wrap_socket(self.socket)
        self.file = self.socket.makefile("rb")
        return self.socket

    def close(self):
        """Hangs up."""
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def make_certificate(folder, name=HOST):
    """A new certificate for `name` and 127.0.0.1, and its key, as listener settings."""
    need(bool(shutil.which("openssl")), "openssl")
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    options = f"-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name}"
    names = f"subjectAltName=DNS:{name},IP:127.0.0.1"
    where = ["-keyout", key, "-out", certificate]
    subprocess.run(
        ["openssl", "req", "-x509", *options.split(), "-addext", names, *where],
        check=True,
        capture_output=True,
    )
    return {"tls_certificate": certificate, "tls_private_key": key}


def probes(shared):
    """Every probe of the sample data: its name and bytes."""
    lines = (shared / "probes.jsonl").read_text().splitlines()
    return {probe["name"]: base64.b64decode(probe["b64"]) for probe in map(json.loads, lines)}
