"""fail2ban's tags as expressions, and searches that end."""

import contextlib
import time

import pytest

from guard.filters.expressions import BadExpression, compile_expression
from guard.filters.rest import DEADLINE, Expired


def search(source, text):
    """The groups that are set."""
    found = compile_expression(source).search(text)
    return found and {name: value for name, value in found.items() if value is not None}


@pytest.mark.parametrize(
    ("source", "text", "groups"),
    [
        ("^from <HOST>$", "from 192.0.2.1\n", {"ip4": "192.0.2.1"}),
        ("^from <HOST>$", "from [2001:db8::1]\n", {"ip6": "2001:db8::1"}),
        ("^from <HOST>$", "from mx.example.com\n", {"dns": "mx.example.com"}),
        ("^from <ADDR>$", "from ::ffff:192.0.2.1\n", {"ip4": "192.0.2.1"}),
        ("^from <ADDR>$", "from mx.example.com\n", None),
        ("^<SUBNET>$", "192.0.2.0/24\n", {"ip4": "192.0.2.0", "cidr": "24"}),
        ("^<F-ID/> <F-PORT/>$", "abc 25\n", {"fid": "abc", "fport": "25"}),
        (
            "^<F-USER>.+?</F-USER> from <IP4>$",
            "joe from 192.0.2.1\n",
            {"user": "joe", "ip4": "192.0.2.1"},
        ),
        (
            "^(?:a <F-ALT_USER_1>.</F-ALT_USER_1>|b <F-ALT_USER_2>.</F-ALT_USER_2>) <IP6>$",
            "b x ::1\n",
            {"user": "x", "alt_user_2": "x", "ip6": "::1"},
        ),
        (
            "^<F-ID>.</F-ID> <F-TUPLE_ID>.</F-TUPLE_ID>$",
            "a b\n",
            {"fid": "a b", "tuple_id": "b"},
        ),
        ("^x ((?i)LOGIN|PLAIN) <HOST>$", "x login 192.0.2.1\n", {"ip4": "192.0.2.1"}),
        ("^(?i)x", "X", None),
        ("<HOST> </F-NEVER-OPENED>", "1.2.3.4 </F-NEVER-OPENED>", {"ip4": "1.2.3.4"}),
        ("<unknown> <HOST>", "<unknown> 1.2.3.4", {"ip4": "1.2.3.4"}),
    ],
)
def test_tags(source, text, groups):
    """Each tag captures what fail2ban's captures."""
    if source == "^(?i)x":
        with pytest.raises(BadExpression):
            compile_expression(source)
        return
    assert search(source, text) == groups


@pytest.mark.parametrize("source", ["(", "[a", "a**", "(?P<x>a)(?P<x>b)", r"\g", "(?<=a*)b"])
def test_what_does_not_compile_is_told_with_its_text(source):
    """Also what only the lenient one of two engines would take."""
    with pytest.raises(BadExpression) as caught:
        compile_expression(source)
    assert repr(source) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"^smtp: (?:[^\[]+ )*\[?<HOST>\]? failure", "smtp: " + "a " * 90 + " failure"),
        ("^(?:a|a)*b <HOST>", "a" * 60 + "b c"),
        ("^(?:(?:a|b)|[ab])*<HOST>$", "ab" * 60 + "c"),
    ],
)
def test_what_hangs_pythons_engine_ends(source, text):
    """Expressions that would take years with `re` have an answer, or are stopped, in time."""
    expression = compile_expression(source)
    began = time.monotonic()
    with contextlib.suppress(Expired):
        expression.search(text)
    assert time.monotonic() - began < DEADLINE + 1


def test_a_runaway_search_is_stopped():
    """One that no engine has an answer for ends at the deadline."""
    expression = compile_expression("^.*(.*)x(.*)*.*y.*<HOST>$")
    began = time.monotonic()
    with pytest.raises(Expired):
        expression.search("x" * 3000 + "y")
    assert time.monotonic() - began < DEADLINE + 1
