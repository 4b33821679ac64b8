"""Spamhaus DROP and ASN-DROP: networks that are wholly in bad hands.

The JSON form is one object a line; the last line says how many there were, how many bytes, and
whose they are, so that a copy that was cut off is recognised (measured on copies of 2025 and 2026).
The terms ask for no more than one fetch an hour, a contact, and the notice kept with the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import msgspec

from guard.feeds.asn import AsnTable
from guard.feeds.recipe import BadFeed, Common, Listed, Part, Recipe
from guard.feeds.text import parse_lines
from guard.lib.fields import FilePath
from guard.lib.logs import printable
from guard.lib.networks import Network, parse_network

HOUR = 3600.0
BASE = "https://www.spamhaus.org/drop/"
CREDIT = "The Spamhaus Project, https://www.spamhaus.org/drop/"


class _Row(msgspec.Struct):
    cidr: str = ""
    asn: int | None = None
    type: str = ""
    timestamp: float | None = None
    size: int = -1
    records: int = -1
    copyright: str = ""
    terms: str = ""


_decode = msgspec.json.Decoder(_Row).decode


def parse_drop(data: bytes) -> Listed:
    """DROP in either form. Raises BadFeed when the JSON form is cut off or altered."""
    if not data.lstrip().startswith(b"{"):
        return parse_lines(data)
    rows, trailer = _rows(data)
    try:
        networks = [parse_network(row.cidr) for row in rows]
    except ValueError as error:
        raise BadFeed(str(error)) from None
    return _listed(networks, trailer)


def parse_asn_drop(data: bytes, table: AsnTable) -> Listed:
    """ASN-DROP, as the networks that `table` says those systems announce. Raises BadFeed."""
    rows, trailer = _rows(data)
    if any(row.asn is None for row in rows):
        raise BadFeed("a row has no asn")
    wanted = {row.asn for row in rows if row.asn is not None}
    return _listed(table.networks(wanted), trailer)


def _listed(networks: list[Network], trailer: _Row) -> Listed:
    notice, terms = printable(trailer.copyright[:200]), printable(trailer.terms[:200])
    return Listed(networks, notice=notice, terms=terms, stamp=trailer.timestamp)


def _rows(data: bytes) -> tuple[list[_Row], _Row]:
    """The data rows and the trailer, which must agree."""
    body, newline, last = data.rstrip(b"\n").rpartition(b"\n")
    try:
        trailer = _decode(last)
        rows = [_decode(line) for line in body.split(b"\n")] if newline else []
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadFeed(f"not Spamhaus JSON, or cut off: {printable(str(error))[:100]}") from None
    if trailer.type != "metadata":
        raise BadFeed("is cut off: the last line is not its metadata")
    if trailer.records != len(rows):
        raise BadFeed(f"is cut off: has {len(rows)} of {trailer.records} records")
    if trailer.size not in (-1, len(body) + len(newline)):
        raise BadFeed(f"is cut off: has {len(body) + 1} of {trailer.size} bytes")
    return rows, trailer


@dataclass(frozen=True, kw_only=True)
class SpamhausDropSettings(Common):
    """`urls` may be a mirror's, in the JSON form or the text form."""

    type: Literal["spamhaus-drop"] = "spamhaus-drop"
    urls: tuple[str, ...] = (BASE + "drop_v4.json", BASE + "drop_v6.json")

    def recipe(self) -> Recipe:
        """How it is followed."""
        parts = tuple(Part(url, parse_drop) for url in self.urls)
        return self.recipe_of(self.type, parts, least=HOUR, credit=CREDIT, strict=True)


@dataclass(frozen=True, kw_only=True)
class SpamhausAsnDropSettings(Common):
    """`asn_table` says which networks a system announces: lines of `prefix asn`, or iptoasn's."""

    type: Literal["spamhaus-asndrop"] = "spamhaus-asndrop"
    urls: tuple[str, ...] = (BASE + "asndrop.json",)
    asn_table: FilePath

    def recipe(self) -> Recipe:
        """How it is followed."""
        parse = partial(parse_asn_drop, table=AsnTable(self.asn_table))
        parts = tuple(Part(url, parse) for url in self.urls)
        return self.recipe_of(self.type, parts, least=HOUR, credit=CREDIT, strict=True)
