"""As much of MIME as a report needs, on anything that strangers send."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.mail.mime import NotAReport, fields, parse_part, unfold


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        ("text/plain", "text/plain", {}),
        ("Text/Plain;charset=UTF-8", "Text/Plain", {"charset": "UTF-8"}),
        (
            'multipart/report; Report-Type=x;\r\n\tboundary="a b;c=\\"d\\\\"',
            "multipart/report",
            {"report-type": "x", "boundary": 'a b;c="d\\'},
        ),
        ("a/b; boundary=one; boundary=two", "a/b", {"boundary": "one"}),
        ("", "", {}),
        ("; boundary=x", "", {}),
        ('a/b; boundary="unclosed', "a/b", {}),
    ],
)
def test_content_types(value: str, kind: str, parameters: dict[str, str]):
    """RFC 2045 5.1: quoting, folding, first of two; the type as it was written."""
    found = parse_part(b"CONTENT-TYPE: " + value.encode() + b"\r\n\r\n").content_type
    assert found.value == kind
    assert {k: v for k, v in found.parameters.items() if v} == parameters


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_parts(end: bytes):
    """Preamble and epilogue are no parts, a boundary inside a line ends nothing."""
    lines = [
        b"Content-Type: multipart/mixed; boundary=B",
        b"",
        b"preamble",
        b"--B  ",
        b"X: 1",
        b"",
        b"one --B",
        b"--Bx",
        b"--B",
        b"",
        b"two",
        b"--B--",
        b"epilogue",
        b"--B",
        b"three",
    ]
    first, second = parse_part(end.join(lines)).parts()
    assert first.headers == (("x", b"1"),)
    assert first.body == b"one --B" + end + b"--Bx" + end
    assert second.headers == ()
    assert second.body == b"two" + end
    assert [part.body for part in parse_part(end.join(lines[:7])).parts()] == [b"one --B"]


def test_no_boundary_no_parts():
    """A multipart that does not say where its parts begin has none."""
    assert not list(parse_part(b"Content-Type: multipart/report\n\n--\nx\n----").parts())


@pytest.mark.parametrize(
    ("how", "body", "expected"),
    [
        ("base64", b"aGVs\r\nbG8=", b"hello"),
        ("Quoted-Printable", b"a=3Db=\r\nc", b"a=bc"),
        ("8bit", b"\xff", b"\xff"),
        ("x-unknown", b"=3D", b"=3D"),
    ],
)
def test_transfer_encodings(how: str, body: bytes, expected: bytes):
    """RFC 2045 6: two of them encode."""
    data = b"Content-Transfer-Encoding: " + how.encode() + b"\r\n\r\n" + body
    assert parse_part(data).decoded() == expected


def test_broken_base64_is_no_report():
    """It is not guessed what it might have been."""
    with pytest.raises(NotAReport):
        parse_part(b"Content-Transfer-Encoding: base64\n\nabcde").decoded()


def test_fields():
    """Names are lower-case, lines unfolded, repeats kept in order, encoded words read."""
    block = b"A: 1\r\nb:2\r\n  3\r\nA : =?utf-8?q?=C3=A4?=\nC: \xff\nD: =?nope?q?x?="
    assert fields(block) == {
        "a": ["1", "ä"],
        "b": ["2 3"],
        "c": [b"\xff"],
        "d": ["=?nope?q?x?="],
    }


@pytest.mark.parametrize(
    "block", [b"no colon", b": no name", b"two words: x", b" begins: folded", b"\xff: x"]
)
def test_lines_that_are_no_fields(block: bytes):
    """A report with such a line is none."""
    with pytest.raises(NotAReport):
        fields(block)


def test_encoded_words_cannot_smuggle_half_characters():
    """UTF-7 can spell a lone surrogate, which no log could hold."""
    (value,) = fields(b"x: =?utf-7?q?+2AA-?=")["x"]
    assert isinstance(value, str)
    value.encode()


def test_unfold_keeps_order():
    """Empty lines vanish, folds become one blank."""
    assert unfold(b"a: 1\r\n \tb\r\n\r\nc: 2\n") == [b"a: 1 b", b"c: 2"]


@pytest.mark.parametrize(
    "data",
    [
        b"Content-Type: multipart/report; boundary=a\n\n" + b"--a\n" * 300_000,
        b"Content-Type: multipart/report; boundary=a\n\n" + b"--a" + b" " * 1_000_000 + b"x",
        b"Content-Type: " + b'a/b;x="' * 200_000,
        b"Content-Type: a/b" + b"; " * 500_000,
        b"\n ".join([b"A: x"] * 200_000),
        b"\r" * 1_000_000,
        b"Content-Type: multipart/report; boundary=a\n\n--a\nContent-Type: multipart/x\n" * 5_000,
    ],
    ids=["parts", "blanks", "quotes", "semicolons", "folds", "returns", "nested"],
)
def test_hostile_megabytes_cost_little(data: bytes):
    """Time grows with the number of bytes, not with its square."""
    begin = time.process_time()
    part = parse_part(data)
    try:
        for child in part.parts():
            _ = child.content_type
    except NotAReport:
        pass
    assert time.process_time() - begin < 2


@given(st.binary())
@settings(deadline=None)
def test_any_bytes_are_a_part(data: bytes):
    """parse_part raises nothing, whatever it is given."""
    part = parse_part(data)
    _ = part.content_type, part.header("subject")


@given(
    st.lists(
        st.sampled_from(
            (
                b"Content-Type: multipart/report; boundary=b|--b|--b--|| x|A: b|"
                b"Content-Transfer-Encoding: base64|Content-Type: text/plain|\xff\x00"
            ).split(b"|")
        )
    ),
    st.sampled_from([b"\n", b"\r\n"]),
)
@settings(deadline=None)
def test_any_lines_have_parts(lines: list[bytes], end: bytes):
    """Parts and their bodies are found or refused, in any order of lines."""
    try:
        for part in parse_part(end.join(lines)).parts():
            part.decoded()
    except NotAReport:
        pass
