"""routing_domain in all of its forms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.mail.routing import Route, parse_route


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("mx.example.com", Route("mx.example.com")),
        ("MX.Example.COM.", Route("mx.example.com")),
        ("bücher.example", Route("xn--bcher-kva.example")),
        ("mx.example.com:2525", Route("mx.example.com", 2525)),
        ("localhost", Route("localhost")),
        ("_mail.example.com", Route("_mail.example.com")),
        ("[10.0.0.1]", Route("10.0.0.1", literal=True)),
        ("[10.0.0.1]:26", Route("10.0.0.1", 26, literal=True)),
        ("[10.0.0.1:26]", Route("10.0.0.1", 26, literal=True)),
        ("[IPv6:2001:DB8::1]", Route("2001:db8::1", literal=True)),
        ("[IPv6:2001:db8::1]:26", Route("2001:db8::1", 26, literal=True)),
        ("[2001:db8::1]", Route("2001:db8::1", literal=True)),
        ("[::1]:26", Route("::1", 26, literal=True)),
        (" [10.0.0.1] ", Route("10.0.0.1", literal=True)),
    ],
)
def test_forms(text: str, route: Route):
    """Every form that KumoMTA takes."""
    assert parse_route(text) == route
    assert parse_route(str(route)) == route


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":25",
        "host:",
        "host:0",
        "host:65536",
        "host:smtp",
        "host:25:26",
        "2001:db8::1",
        "10.0.0.1",
        "10.0.0.1:25",
        "host.25",
        "x" * 64 + ".example.com",
        "[10.0.0.1:25]:25",
        "[10.0.0.1]25",
        "[10.0.0.1",
        "[10.0.0.300]",
        "[IPv6:10.0.0.1]",
        "[host]",
        "[]",
        "two words",
        "-host",
        "a..b",
        "x" * 300,
        5,
        None,
    ],
)
def test_what_is_none(value: object):
    """The operator is told."""
    with pytest.raises(ValueError, match=r"."):
        parse_route(value)


def test_a_port_twice_is_said():
    """The one contradiction that the forms allow."""
    with pytest.raises(ValueError, match="both inside and outside"):
        parse_route("[10.0.0.1:25]:26")


@pytest.mark.parametrize("text", ["10.0.0.1", "10.0.0.1:25", "2001:db8::1", "::1"])
def test_an_address_needs_brackets(text: str):
    """Without them it would be looked up as a name, in vain, until the mail is too old."""
    with pytest.raises(ValueError, match="write it in brackets"):
        parse_route(text)


@given(st.text())
@settings(deadline=None)
def test_any_text_is_a_route_or_an_error(text: str):
    """A recipient's domain is a stranger's word: nothing but ValueError, and the form is stable."""
    try:
        route = parse_route(text)
    except ValueError:
        return
    assert parse_route(str(route)) == route
