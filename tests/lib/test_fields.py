"""Settings that are more than text are read strictly."""

import pytest

from guard.lib.fields import Endpoint, parse_endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:25", Endpoint("127.0.0.1", 25)),
        ("[::1]:25", Endpoint("::1", 25)),
        (":0", Endpoint("", 0)),
        ("mx.example.com:587", Endpoint("mx.example.com", 587)),
    ],
)
def test_endpoints(text, endpoint):
    """Address and port, IPv6 in brackets; it prints as it was written."""
    assert parse_endpoint(text) == endpoint
    assert str(endpoint) == text


@pytest.mark.parametrize(
    "text", ["", "25", "127.0.0.1", "::1:25", "[::1]", "a b:25", "h:65536", "h:-1", 25]
)
def test_no_endpoint(text):
    """Anything else is an error that shows it."""
    with pytest.raises(ValueError, match=r"not an|brackets"):
        parse_endpoint(text)
