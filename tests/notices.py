"""For tests of notifications: occasions to tell, and a real HTTP server that is told them."""

import hashlib
import hmac
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from guard.events import Claim
from guard.lib.networks import parse_network
from guard.reporters.notify.values import Count, Digest, FeedChange, Notice, Occasion, Often

NOW = 1_757_675_281.0
SECRET = "correct horse battery staple"
HOSTILE = (
    "<!channel> @everyone <@U1> [x](http://a.example) `**_~|>#\u202e\u0000\n\\ &lt; <at>b</at>"
)


def ban(network="91.92.251.215", **values):
    """A notice of a ban."""
    return Notice(
        **{
            "event": "ban",
            "time": NOW,
            "network": parse_network(network),
            "source": "jail:kumomta-relay",
            "reason": "5 rejections within 10m",
            "since": NOW,
            "until": NOW + 3600,
            "strikes": 2,
            **values,
        }
    )


def digest(**values):
    """A digest of an hour."""
    return Digest(
        **{
            "since": NOW - 3600,
            "time": NOW,
            "bans": 1234,
            "unbans": 1,
            "sources": (Count("jail:kumomta-relay", 1200), Count("manual", 34)),
            "kinds": (Count("relay_denied", 99999),),
            "top": (Often("91.92.251.215", 3, 7), Often("2001:db8:100::/64", 1, 0)),
            "feeds": (FeedChange("spamhaus-drop", 12, 3),),
            **values,
        }
    )


def occasion(what, id_="0" * 32, host="mx1"):
    """That, told by mx1."""
    return Occasion(id=id_, host=host, what=what)


def claim(number, source="jail:kumomta-relay", now=NOW, length=3600.0, strikes=1):
    """A ban of the address with this number."""
    network = parse_network(f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}")
    until = None if length is None else now + length
    return Claim(network, source, "5 rejections within 10m", now, until, strikes)


@dataclass
class Request:
    """What came: path, headers with small names, body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        """The body, read."""
        return json.loads(self.body)

    @property
    def id(self):
        """The id by which a receiver tells a repetition."""
        return self.headers["x-guard-id"]

    def signed(self, secret=SECRET):
        """Whether the signature is right: as the documentation says, by other code than ours."""
        key, message = (
            secret.encode(),
            self.headers["x-guard-timestamp"].encode() + b"." + self.body,
        )
        pad = key.ljust(64, b"\0")
        inner = hashlib.sha256(bytes(b ^ 0x36 for b in pad) + message).digest()
        outer = hashlib.sha256(bytes(b ^ 0x5C for b in pad) + inner).hexdigest()
        return hmac.compare_digest(self.headers["x-guard-signature"], "sha256=" + outer)


@dataclass
class Receiving:
    """A server on loopback. `answers` are (status, headers, body) in turn, then 204.

    While `hanging` is set it takes a request and never answers.
    """

    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self):
        self.hanging, self.came, self.over = (threading.Event() for _ in range(3))
        receiving = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                named = {name.lower(): value for name, value in self.headers.items()}
                receiving.requests.append(Request(self.path, named, body))
                receiving.came.set()
                if receiving.hanging.is_set():
                    receiving.over.wait(60)
                    self.close_connection = True
                    return
                status, headers, said = (
                    receiving.answers.pop(0) if receiving.answers else (204, {}, b"")
                )
                self.send_response(status)
                for name, value in {"Content-Length": str(len(said)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            do_GET = do_POST  # noqa: N815  its name

            def log_message(self, *_):
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/services/T00000000/B00000000/verysecretpath"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    def close(self):
        """Ends it."""
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
