"""What the fields of both kinds of report have in common: names of MTAs, addresses, one of each.

Pure. The readings are KumoMTA's (crates/kumo-log-types), the grammar RFC 3464's and RFC 5965's;
whatever does not fit raises NotAReport, because half a report would be believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from guard.mail.mime import NotAReport, Part, lines_normalised

T = TypeVar("T")
Fields = dict[str, list[str | bytes]]
Extensions = dict[str, tuple[str | bytes, ...]]

_ADDRESS = re.compile(r'(?:[^\s<>@"]+|"(?:[^"\\]|\\.)*")(?:@[^\s<>@]+)?')
_HEADERS_ONLY = frozenset(("text/rfc822-headers", "message/global", "message/global-headers"))


@dataclass(frozen=True, slots=True)
class Mta:
    """`type; name` (RFC 3464, 2.1.2)."""

    mta_type: str
    name: str


def one(fields: Fields, name: str, read: Callable[[str], T]) -> T | None:
    """The only field of this name as `read` has it, taken out of `fields`; None without it."""
    values = fields.pop(name, None)
    if values is None:
        return None
    if len(values) > 1:
        raise NotAReport(f"{name} more than once")
    return read(_utf8(name, values[0]))


def required(fields: Fields, name: str, read: Callable[[str], T]) -> T:
    """As `one`, where the standard demands it."""
    value = one(fields, name, read)
    if value is None:
        raise NotAReport(f"{name} is missing")
    return value


def every(fields: Fields, name: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """All fields of this name, taken out of `fields`."""
    return tuple(read(_utf8(name, value)) for value in fields.pop(name, ()))


def rest(fields: Fields) -> Extensions:
    """What nobody took."""
    return {name: tuple(values) for name, values in fields.items()}


def typed(text: str) -> tuple[str, str]:
    """`type; value`, both trimmed."""
    kind, semicolon, value = text.partition(";")
    if not semicolon:
        raise NotAReport(f"no semicolon in {text[:60]!r}")
    return kind.strip(), value.strip()


def mta(text: str) -> Mta:
    """The name of an MTA."""
    return Mta(*typed(text))


def address(text: str) -> str:
    """An address without brackets; empty for `<>`. A local part alone is one, as in a local DSN."""
    inner = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    if inner and not _ADDRESS.fullmatch(inner):
        raise NotAReport(f"{text[:60]!r} is no address")
    return inner


def returned(part: Part) -> bytes | None:
    """The returned message, or its headers, when that is what `part` holds; else None.

    RFC 2046 5.2.1 gives message/rfc822 no transfer encoding; the others may have one.
    """
    kind = part.content_type.value.lower()
    if kind == "message/rfc822":
        return lines_normalised(part.body)
    if kind not in _HEADERS_ONLY:
        return None
    try:
        return lines_normalised(part.decoded())
    except NotAReport:
        return None


def _utf8(name: str, value: str | bytes) -> str:
    if isinstance(value, bytes):
        raise NotAReport(f"{name} is not UTF-8")
    return value
