"""guard/smtp/ports.py: what is listened on, and why not."""

import errno
import socket
from contextlib import closing

import pytest

from guard.smtp.ports import listen


def test_a_name_that_says_more_than_there_is(monkeypatch):
    """An address that is named twice is taken once, and IPv6 may be missing beside IPv4 only."""
    four, six = socket.AF_INET, socket.AF_INET6
    absent = ("2001:db8::1", 0, 0, 0)  # no machine of ours has it

    def named(*entries):
        rows = [(family, socket.SOCK_STREAM, 6, "", address) for family, address in entries]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: rows)

    (taken,) = listen("127.0.0.1", 0, 1, shared=False)
    port = taken.getsockname()[1]
    taken.close()
    named((four, ("127.0.0.1", port)), (four, ("127.0.0.1", port)), (six, absent))
    (made,) = listen("mail.example.com", port, 1, shared=False)
    assert made.getsockname() == ("127.0.0.1", port)
    made.close()
    named((six, absent))
    with pytest.raises(OSError, match=r"assign|support"):
        listen("mail.example.com", 0, 1, shared=False)
    named((four, ("127.0.0.1", 0)), (four, ("192.0.2.1", 0)))
    with pytest.raises(OSError, match="assign"):
        listen("mail.example.com", 0, 1, shared=False)


def test_an_address_that_is_taken():
    """It is said, and nothing stays open; several processes may share one."""
    (taken,) = listen("127.0.0.1", 0, 1, shared=False)
    with closing(taken):
        with pytest.raises(OSError, match=r"Address already in use$") as caught:
            listen("127.0.0.1", taken.getsockname()[1], 1, shared=False)
        assert caught.value.errno == errno.EADDRINUSE
    (one,) = listen("127.0.0.1", 0, 1, shared=True)
    (other,) = listen("127.0.0.1", one.getsockname()[1], 1, shared=True)
    one.close()
    other.close()
