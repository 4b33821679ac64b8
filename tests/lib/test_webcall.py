"""One bounded call to a real server, well and badly behaved."""

import contextlib
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support import PROJECT

from guard.lib.secrets import Secret
from guard.lib.webcall import Answer, Call, CallFailed, agent, call, place, retry_after

KEY = Secret("c0ffee-0123456789")


class Server:
    """Answers with `answer(handler)`; `asked` is (method, path, headers, body)."""

    def __init__(self):
        self.asked, self.answer = [], lambda handler: self.send(handler, 200, b"{}")
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, dict(self.headers), body))
                outer.answer(self)

            do_GET = do_POST = do_DELETE = do  # noqa: N815  names of http.server

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    @staticmethod
    def send(handler, status, body, *headers):
        handler.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            handler.send_header(name, value)
        handler.end_headers()
        with contextlib.suppress(OSError):
            handler.wfile.write(body)

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server():
    served = Server()
    yield served
    served.close()


def test_what_is_asked_arrives(server):
    """Method, query, body with its type, the key in its header, JSON asked for, a contact."""
    answer = call(
        Call(
            url=server.url + "/report", method="POST", query={"ip": "192.0.2.1", "x": "a b"},
            secrets={"Key": KEY}, body=b"a=1", kind="application/x-www-form-urlencoded",
            contact="ops@example.com",
        )
    )  # fmt: skip
    assert answer.status == 200
    assert answer.good
    method, path, headers, body = server.asked[0]
    assert (method, path, body) == ("POST", "/report?ip=192.0.2.1&x=a+b", b"a=1")
    assert headers["Key"] == KEY.reveal()
    assert headers["Accept"] == "application/json"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "ops@example.com" in headers["User-Agent"]
    assert agent("x", "").isascii()
    call(Call(url=server.url))
    assert "postmaster" not in server.asked[1][2]["User-Agent"]


def test_every_status_is_an_answer(server):
    """With headers in lower case, numbers read, and no redirect followed, key or not."""
    server.answer = lambda handler: server.send(
        handler, 429, b"no", ("Retry-After", "90"), ("X-RateLimit-Remaining", "7"), ("X-Odd", "7.5")
    )
    answer = call(Call(url=server.url))
    assert (answer.status, answer.body, answer.wait(0.0)) == (429, b"no", 90.0)
    assert (answer.number("x-ratelimit-remaining"), answer.number("x-odd")) == (7, None)
    server.answer = lambda handler: server.send(handler, 302, b"", ("Location", "/elsewhere"))
    assert call(Call(url=server.url, secrets={"Key": KEY})).status == 302
    assert len(server.asked) == 2


def test_too_much_is_not_read(server):
    """A flood ends at the limit."""
    server.answer = lambda handler: server.send(handler, 200, b"x" * 100_000)
    with pytest.raises(CallFailed, match="more than 1000 bytes"):
        call(Call(url=server.url, max_size=1000))


def test_a_slow_body_is_given_up(server):
    """A byte now and then does not hold the thread for ever."""

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(100):
                handler.wfile.write(b"x" * 20_000)
                time.sleep(0.05)
        except OSError:
            pass

    server.answer = drip
    begun = time.monotonic()
    with pytest.raises(CallFailed, match=r"too long|no answer in time"):
        call(Call(url=server.url, timeout=0.1, max_size=1 << 30))
    assert time.monotonic() - begun < 4


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/hook?token=sesame",
        "http://me:sesame@127.0.0.1:9/x",
        "http:///x?sesame",
        "http://me:sesame@[bad/x?sesame",
        "nonsense://x/?sesame",
    ],
)
def test_an_error_is_one_line_without_secrets(url):
    """Neither query nor password, which libraries repeat; the host is told."""
    with pytest.raises(CallFailed) as caught:
        call(Call(url=url, secrets={"Key": KEY}))
    assert "sesame" not in str(caught.value)
    assert KEY.reveal() not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_url_is_named_by_its_host():
    """Slack's and Discord's hooks are secrets as a whole."""
    url = Secret("http://127.0.0.1:9/services/T0/B0/sesame")
    with pytest.raises(CallFailed, match="refused") as caught:
        call(Call(url=url))
    assert "sesame" not in str(caught.value)
    assert place(url) == "http://127.0.0.1/..."


def test_a_key_that_breaks_the_header_is_not_told(server):
    """http.client quotes what it refuses."""
    with pytest.raises(CallFailed) as caught:
        call(Call(url=server.url, secrets={"Key": Secret("sesame\nopen")}))
    assert "sesame" not in str(caught.value)


def test_retry_after_is_bounded():
    """Seconds or a date, a week at most, never negative."""
    assert retry_after("120", 0.0) == 120
    assert retry_after("99999999999999", 0.0) == 604800
    assert retry_after("Tue, 14 Nov 2023 23:13:20 GMT", 1_700_003_600.0) == 0
    assert retry_after("Tue, 14 Nov 2023 23:13:20 GMT", 1_700_002_600.0) == 1000
    assert retry_after("soon", 0.0) == 0
    assert Answer(200, {}, b"").wait(0.0) == 0


def test_odd_headers_do_not_put_a_secret_url_into_the_log():
    """The library would log it with them, and with a traceback; in a process as it really runs."""
    program = """
import socket, threading
from guard.lib.logs import set_up
from guard.lib.secrets import Secret
from guard.lib.webcall import Call, call
set_up(verbose=True, journal=False)
served = socket.socket()
served.bind(("127.0.0.1", 0))
served.listen()
def serve():
    peer, _ = served.accept()
    peer.recv(9999)
    peer.sendall(b"HTTP/1.1 200 OK\\r\\nA: b\\r\\nno colon here\\r\\n\\r\\n{}")
    peer.close()
threading.Thread(target=serve).start()
print(call(Call(url=Secret(f"http://127.0.0.1:{served.getsockname()[1]}/x/sesame"))).status)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, timeout=30, capture_output=True, text=True
    )
    assert done.stdout == "200\n"
    assert "sesame" not in done.stderr
    assert "Traceback" not in done.stderr
