"""Whatever a server does, and at whatever pace, an exchange with it ends in time."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest
import requests

from guard.lib.bounded import bounded

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def serving(talk):
    """The port of a server that does `talk(connection)` once, until the test is over."""
    over = threading.Event()

    def serve():
        with suppress(OSError):
            connection, _ = listening.accept()
            with connection, suppress(OSError):
                connection.recv(1 << 16)  # or closing would reset what was answered
                talk(connection, over)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            with suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)
            assert not thread.is_alive()


def drip(first, each):
    """Sends `first`, then `each` ten times a second, without end."""

    def talk(connection, over):
        connection.sendall(first)
        while not over.wait(0.1):
            connection.sendall(each)

    return talk


def fetch(port, seconds=0.5, scheme="http"):
    with requests.Session() as session, bounded(session, seconds):
        url = f"{scheme}://127.0.0.1:{port}/"
        with session.get(url, timeout=5, stream=True, verify=False) as answer:
            return b"".join(answer.iter_content(1 << 14))


@pytest.mark.parametrize(
    ("scheme", "first", "each"),
    [
        ("http", OK + b"Content-Length: 9999\r\n\r\n", b"x"),
        ("http", OK + b"\r\n", b"x"),
        ("http", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        ("http", OK, b"X: y\r\n"),
        ("http", b"", b"H"),
        ("https", b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc", b"\x00"),
    ],
)
def test_a_server_that_drips_is_given_up(scheme, first, each):
    """In the body of any form, the headers, the status line, or the handshake of TLS."""
    with serving(drip(first, each)) as port:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            fetch(port, scheme=scheme)
        assert 0.4 < time.monotonic() - begun < 3


def test_a_body_that_was_cut_by_us_is_never_taken_for_whole():
    """One without a length ends with its connection, however that came to end."""

    def hang(connection, over):
        connection.sendall(OK + b"\r\nabc")
        over.wait()

    with serving(hang) as port, pytest.raises(TimeoutError):
        fetch(port, seconds=0.2)


def test_in_time_nothing_is_changed():
    """Neither an answer nor an error."""
    with serving(lambda connection, over: connection.sendall(OK + b"\r\nabc")) as port:
        assert fetch(port) == b"abc"
    junk = serving(lambda connection, over: connection.sendall(b"junk\r\n\r\n"))
    with junk as port, pytest.raises(requests.ConnectionError):
        fetch(port)
    assert not [
        t
        for t in threading.enumerate()
        if isinstance(t, threading.Timer) and not t.finished.is_set()
    ]
