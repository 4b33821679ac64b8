"""Fields that both kinds of report have."""

import pytest

from guard.mail.mime import NotAReport, Part
from guard.mail.reportfields import Mta, address, every, mta, one, required, rest, returned, typed


def test_fields_are_taken_out():
    """What was read is no extension any more."""
    fields = {"a": ["1"], "b": ["2", "3"], "c": ["4"], "d": [b"\xff"]}
    assert required(fields, "a", int) == 1
    assert every(fields, "b", int) == (2, 3)
    assert one(fields, "x", int) is None
    assert rest(fields) == {"c": ("4",), "d": (b"\xff",)}
    with pytest.raises(NotAReport, match="missing"):
        required(fields, "a", int)
    with pytest.raises(NotAReport, match="UTF-8"):
        one(fields, "d", str)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<a@b>", "a@b"),
        ("a@b", "a@b"),
        ("<>", ""),
        ("", ""),
        ("postmaster", "postmaster"),
        ('"two words"@b', '"two words"@b'),
        ("<ü@b>", "ü@b"),
    ],
)
def test_addresses(text: str, expected: str):
    """With brackets or without; empty is the null sender."""
    assert address(text) == expected


@pytest.mark.parametrize("text", ["a b", "<a@b", "a@b>", "a@b@c", "<<a@b>>", "a@"])
def test_what_is_no_address(text: str):
    """It fails the report."""
    with pytest.raises(NotAReport):
        address(text)


def test_typed_and_mta():
    """Both halves are trimmed; the semicolon is required."""
    assert typed(" dns ; x; y ") == ("dns", "x; y")
    assert mta("dns;x") == Mta("dns", "x")
    with pytest.raises(NotAReport):
        mta("x")


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (b"message/rfc822", b"a\r\n=3D", b"a\n=3D"),
        (b"Text/RFC822-Headers", b"a\r\n=3D", b"a\n="),
        (b"message/global", b"=3D", b"="),
        (b"text/plain", b"a", None),
    ],
)
def test_returned(kind: bytes, body: bytes, expected: bytes | None):
    """RFC 2046 5.2.1: a message/rfc822 is never encoded, whatever its header says."""
    headers = (("content-type", kind), ("content-transfer-encoding", b"quoted-printable"))
    assert returned(Part(headers, body)) == expected


def test_returned_but_broken():
    """Encoded bytes are not a message."""
    headers = (
        ("content-type", b"text/rfc822-headers"),
        ("content-transfer-encoding", b"base64"),
    )
    assert returned(Part(headers, b"abcde")) is None
