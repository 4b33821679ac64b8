"""filter.d/kumomta.conf and the table of guard/filters/classify.py cannot grow apart.

The records are made from the table and its expressions themselves: a row, a method or a header that
is added there and not in the filter fails here.
"""

import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kumomta_filter import MODES, NOM, PEST, found, kinds, record

from guard.events import Kind, Rejection
from guard.filters import classify as table
from guard.filters.hear import event_of
from guard.records import decode

pytestmark = pytest.mark.fail2ban
# What a peer may have said: nothing known, nothing, a scanner, another protocol, an address.
SAID = (None, "", "DATA", "User-Agent: Expanse, x", "GET / HTTP/1.1", "RCPT TO:<expanse@b.example>")


def rows() -> Iterator[tuple[int, str]]:
    """(code, text) of every reply that the table tells apart, and of one that it does not know."""
    for code, known in table._TABLE.items():
        for row in known:
            yield code, row.content
            yield code, f"{row.content} for 192.0.2.1:25"
        yield code, "words that are in no row"
    yield 421, "mx.example.com too many of these"
    yield 554, "mx.example.com speaks first"
    yield 554, "mx.example.com did not offer pipelining yet"
    yield 421, "mx.example.com technical difficulties"


def spelled(expressions: str) -> Iterator[str]:
    """Texts for each alternative of a list such as `Accept(?:-[a-z]+)?|Connection`."""
    for one in re.split(r"\|(?![^(]*\))", expressions):
        for kept in ("", r"\1"):
            yield re.sub(r"\[[a-z-]+\]\+", "ab", re.sub(r"\(\?:([^)]*)\)\?", kept, one))


def differences(mode: str, lines: list[str]) -> list[tuple[object, ...]]:
    """(kind, what fail2ban found, line) wherever it is not what Guard counts in this mode."""
    wanted, wrong = kinds(mode), []
    for line, matches in zip(lines, found(mode, lines), strict=True):
        event = event_of(decode(line.encode()))
        assert isinstance(event, Rejection)
        expected = [("192.0.2.1", 1757675281.0)] if event.kind in wanted else []
        if matches != expected:
            wrong.append((event.kind, matches, line[:400]))
    return wrong


@pytest.mark.parametrize("mode", MODES)
def test_every_row_of_the_table_is_in_the_modes_of_its_kind(mode):
    """With and without an enhanced code, whatever the peer said and called itself."""
    lines = [
        record(code, enhanced, content, command, name)
        for code, content in rows()
        for enhanced in ("", "5.7.1")
        for command in SAID
        for name in ("client", "expanse")
    ]
    assert len(lines) > 1000
    assert not differences(mode, lines)


def test_every_kind_is_in_some_mode():
    """A kind that is added to events is counted by `all` at least; `kinds` names no other."""
    assert kinds("all") == set(Kind)


def test_every_method_and_header_is_another_protocol_to_both():
    """Each in small letters too, in `command`, and as both parsers echo it where that is null."""
    said = [f"{word}{rest}" for word in spelled(table._METHODS) for rest in ("", " /x")]
    said += [f"{word}{rest}" for word in spelled(table._HEADERS) for rest in (": x", " : x")]
    said += [line.lower() for line in said]
    assert len(said) > 100
    lines = [record(502, "5.5.1", "Command unimplemented", line) for line in said]
    lines += [record(501, "", form.format(line), None) for form in (PEST, NOM) for line in said]
    assert all(event_of(decode(line.encode())).kind is Kind.NON_SMTP for line in lines)
    assert not differences("scanner", lines)


def test_what_the_expressions_of_the_table_match_the_filter_matches():
    """Texts made from the expressions, with whatever may stand before and after."""
    said: list[tuple[str, str]] = []

    @settings(max_examples=400, derandomize=True, database=None, deadline=None,
              phases=[Phase.generate], suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.from_regex(table._NON_SMTP), st.from_regex(table._SCANNER))
    def collect(line: str, name: str) -> None:
        said.append((line[:300], name[:300]))

    collect()
    lines = [record(502, "5.5.1", "Command unimplemented", line) for line, _ in said]
    lines += [record(599, "", "x", None, name) for _, name in said]
    lines += [record(500, "", "what", name) for _, name in said]
    assert not differences("scanner", lines)
