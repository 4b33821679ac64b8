"""The signature of a webhook."""

from notices import SECRET, Request

from guard.reporters.notify.signature import headers


def sent(body, secret, now=1757675281.9):
    """A request as its receiver has it."""
    found = headers("id-1", body, secret.encode(), now)
    return Request("/", {name.lower(): value for name, value in found.items()}, body)


def test_other_code_finds_it_right():
    """HMAC-SHA256 over timestamp, full stop and body, computed from RFC 2104 by hand."""
    request = sent(b'{"event":"ban"}', SECRET)
    assert request.signed()
    assert request.headers["x-guard-timestamp"] == "1757675281"
    assert request.id == "id-1"


def test_any_change_makes_it_wrong():
    """Body, timestamp and secret are all signed."""
    request = sent(b"body", SECRET)
    assert not request.signed("another secret of some length")
    assert not Request("/", request.headers, b"bodY").signed()
    later = {**request.headers, "x-guard-timestamp": "1757675282"}
    assert not Request("/", later, b"body").signed()


def test_without_a_secret_there_is_none():
    """An empty signature would pass for one."""
    assert "x-guard-signature" not in sent(b"body", "").headers
