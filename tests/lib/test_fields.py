"""Settings that are more than text are read strictly."""

import pytest

from guard.lib.fields import Endpoint, parse_endpoint, server_fault


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


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("127.0.0.1:53", True),
        ("[::1]:53", True),
        ("dns.example.com:53", False),
        ("127.0.0.1:0", False),
    ],
)
def test_a_server_is_an_address_and_a_port(text, good):
    """A server that has to be looked up first, or has no port, is a fault that shows it."""
    fault = server_fault(parse_endpoint(text))
    assert fault == ("" if good else f'{text} is not an address such as "127.0.0.1:53"')
