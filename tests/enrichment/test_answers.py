"""Whatever a service answers, what is read of it is short plain ASCII or nothing."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listserver import Page

from guard.enrichment.answers import LookUpFailed, ask, branch, facts, number, read, text
from guard.lib.secrets import Secret
from guard.lib.webcall import Call

NOW = 1_757_678_400.0
KEY = "c0ffee00c0ffee00"
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(anything)
@settings(deadline=None, max_examples=200)
def test_any_value_is_said_in_short_plain_ascii_or_not_at_all(value):
    """No byte of it could move a cursor or begin a line."""
    said = text(value)
    assert len(said) <= 80
    assert all(" " <= c <= "~" for c in said)
    assert number(value, 100) in (None, *range(101))
    assert isinstance(branch({"a": value}, "a", "b"), dict)


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_an_object_or_nothing(body):
    """A body is never an exception."""
    assert read(body) is None or isinstance(read(body), dict)
    assert read(b'{"a":' * 100_000) is None


def test_words_are_what_they_look_like():
    """Truth, numbers and text; nothing is left out by mistake."""
    assert [text(v) for v in (True, 0, 12, " x ", "\x1b[2Jy", "é", None, [], 1e300)] == [
        "yes", "0", "12", "x", "\\x1b[2Jy", "\\xe9", "", "", "",
    ]  # fmt: skip
    assert facts([("a", ""), ("b", 0), ("c", None)]) == {"b": "0"}
    assert number(True) is None
    assert number(101, 100) is None


def asked(server, **more):
    return Call(url=server.url + "/x", secrets={"Key": Secret(KEY)}, timeout=2.0, **more)


ERRORS = [
    (429, {"Retry-After": "90"}, b"<html>slow down</html>", "the quota is spent", 90.0),
    (429, {}, b"{}", "the quota is spent", 60.0),
    (204, {}, b"", "status 204", 60.0),
    (
        401,
        {},
        json.dumps({"errors": [{"detail": f"Bad key {KEY}\x1b[31m"}]}).encode(),
        "it does not take the key: Bad key ...\\x1b[31m",
        3600.0,
    ),
    (
        403,
        {},
        b'{"error": {"message": "Forbidden"}}',
        "it does not let the key in: Forbidden",
        3600,
    ),
    (402, {}, b'{"errors": {"0": 1}}', "the plan does not allow that", 3600.0),
    (422, {}, b'{"message": ["no"]}', "it does not understand the question", 0.0),
    (500, {}, b"\xff\xfe", "status 500", 60.0),
    (302, {"Location": "http://127.0.0.1:1/"}, b"", "status 302", 60.0),
]


@pytest.mark.parametrize(("status", "headers", "body", "said", "wait"), ERRORS)
def test_an_error_is_one_line_and_says_when_to_come_back(server, status, headers, body, said, wait):
    """By its status and its own words, of which the key is never a part."""
    server.pages["/x"] = Page(body, status=status, headers=headers, kind="text/html")
    with pytest.raises(LookUpFailed) as caught:
        ask("them", asked(server), NOW)
    assert str(caught.value) == f"them: {said}"
    assert caught.value.wait == wait
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("body", [b"<!DOCTYPE html>", b"[]", b"", b'{"a": 1'])
def test_a_body_that_is_no_object_is_no_answer(server, body):
    """A page for people with status 200 is nothing either."""
    server.pages["/x"] = Page(body)
    with pytest.raises(LookUpFailed, match="them: its answer is no JSON"):
        ask("them", asked(server), NOW)


def test_a_body_without_end_and_no_server_are_no_answer(server):
    """Both are bounded and said in a line."""
    server.pages["/x"] = Page(b'{"a": "' + b"x" * 10_000 + b'"}')
    with pytest.raises(LookUpFailed, match="more than 1000 bytes"):
        ask("them", asked(server, max_size=1000), NOW)
    nobody = Call(url="http://127.0.0.1:1/x", timeout=2.0)
    with pytest.raises(LookUpFailed, match="connection refused"):
        ask("them", nobody, NOW)


def test_a_key_that_is_repeated_in_an_answer_is_cut_out(server):
    """What a service says of an address is shown; the key never is."""
    server.pages["/x"] = Page(json.dumps({"isp": f"x{KEY}y"}).encode())
    assert ask("them", asked(server), NOW)[1] == {"isp": "x...y"}
