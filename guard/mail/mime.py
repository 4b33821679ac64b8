"""As much of MIME as a report needs: headers, a content type, the direct parts. Pure.

Reads what strangers wrote: every function takes any bytes, in time linear to their number, and
raises nothing but NotAReport. Parts inside parts are left alone, so that nesting costs nothing.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header

_END_OF_HEADERS = re.compile(rb"\A\r?\n|\r?\n\r?\n")
_TYPE = re.compile(rb"[ \t\r\n]*([^ \t\r\n;]+)")
_PARAMETER = re.compile(
    rb";[ \t\r\n]*([^\s=;\"]+)[ \t\r\n]*=[ \t\r\n]*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]*))",
    re.DOTALL,
)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_MOST_PARTS = 64
_LONGEST_TYPE = 4096
_LONGEST_ENCODED = 4096


class NotAReport(ValueError):
    """These bytes are no report; the text says why, for the curious."""


@dataclass(frozen=True, slots=True)
class ContentType:
    """`value` as it was written; parameter names are lower-case."""

    value: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Part:
    """Headers and body of a message or of one part of it. Header names are lower-case."""

    headers: tuple[tuple[str, bytes], ...]
    body: bytes

    def header(self, name: str) -> str:
        """The first header of this name, or the empty string."""
        for found, value in self.headers:
            if found == name:
                return value.decode("utf-8", "replace")
        return ""

    @property
    def content_type(self) -> ContentType:
        """RFC 2045 5.1; the value is empty where there is none."""
        for name, value in self.headers:
            if name == "content-type":
                return _content_type(value[:_LONGEST_TYPE])
        return ContentType("", {})

    def decoded(self) -> bytes:
        """The body without its transfer encoding. Raises NotAReport when that is broken."""
        how = self.header("content-transfer-encoding").strip().lower()
        try:
            if how == "base64":
                return binascii.a2b_base64(self.body)
            if how == "quoted-printable":
                return binascii.a2b_qp(self.body)
        except binascii.Error as error:
            raise NotAReport(f"a part's base64: {error}") from None
        return self.body

    def parts(self) -> Iterator[Part]:
        """The direct parts of a multipart. Raises NotAReport when there are absurdly many."""
        boundary = self.content_type.parameters.get("boundary", "").encode()
        if not boundary:
            return
        # RFC 2046 5.1.1: a boundary is a whole line. The line end before it should belong to it;
        # KumoMTA leaves it to the part, and so the returned message in both our logs has it.
        line = re.compile(rb"(?:\A|(?<=\n))--" + re.escape(boundary) + rb"(--)?[ \t]*(?:\r?\n|\Z)")
        begin, count = -1, 0
        for found in line.finditer(self.body):
            if begin >= 0:
                yield parse_part(self.body[begin : found.start()])
            begin, count = found.end(), count + 1
            if found[1]:
                return
            if count > _MOST_PARTS:
                raise NotAReport("more parts than any report has")
        if begin >= 0:
            yield parse_part(self.body[begin:])


def parse_part(data: bytes) -> Part:
    """Headers and body of `data`. A line that is no header is passed over, as mail readers do."""
    end = _END_OF_HEADERS.search(data)
    head, body = (data, b"") if end is None else (data[: end.start()], data[end.end() :])
    headers = []
    for line in unfold(head):
        name, colon, value = line.partition(b":")
        if colon:
            headers.append((name.strip().decode("latin-1").lower(), value.strip()))
    return Part(tuple(headers), body)


def fields(block: bytes) -> dict[str, list[str | bytes]]:
    """The fields of a status or feedback block by lower-case name, unfolded, in order.

    A value that is not UTF-8 stays bytes. Raises NotAReport on a line that is no field.
    """
    found: dict[str, list[str | bytes]] = {}
    for line in unfold(block):
        name, colon, value = line.partition(b":")
        name = name.rstrip(b" \t")
        if not colon or not name or not name.isascii() or b" " in name or b"\t" in name:
            raise NotAReport("a line that is no field")
        found.setdefault(name.decode().lower(), []).append(_text(value.strip()))
    return found


def unfold(block: bytes) -> list[bytes]:
    """The logical lines of `block` (RFC 5322, 2.2.3), without empty ones."""
    return [line.rstrip(b"\r") for line in _FOLD.sub(b" ", block).split(b"\n") if line.strip()]


def lines_normalised(data: bytes) -> bytes:
    """`data` with CRLF made LF."""
    return data.replace(b"\r\n", b"\n")


def _text(value: bytes) -> str | bytes:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return value
    if "=?" not in text or len(text) > _LONGEST_ENCODED:
        return text
    try:
        decoded = str(make_header(decode_header(text)))  # RFC 2047
        decoded.encode()  # some charsets can spell half a character
    except (HeaderParseError, LookupError, ValueError):
        return text
    return decoded


def _content_type(value: bytes) -> ContentType:
    kind = _TYPE.match(value)
    if kind is None:
        return ContentType("", {})
    parameters: dict[str, str] = {}
    for found in _PARAMETER.finditer(value, kind.end()):
        raw = found[3] if found[2] is None else re.sub(rb"\\(.)", rb"\1", found[2], flags=re.DOTALL)
        name = found[1].decode("latin-1").lower()
        parameters.setdefault(name, _FOLD.sub(b" ", raw).decode("utf-8", "replace"))
    return ContentType(kind[1].decode("utf-8", "replace"), parameters)
