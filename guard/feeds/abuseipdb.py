"""AbuseIPDB's blacklist: addresses that many reported. Its API, version 2 (docs.abuseipdb.com).

A score of 100 is no proof: the list has held outbound addresses of Gmail. The free plan has five
fetches a day for all hosts together; what the plan does not allow is cut in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

import msgspec

from guard.feeds.recipe import BadFeed, Common, Listed, Part, Recipe
from guard.feeds.text import Collector, parse_lines
from guard.lib.fields import FilePath
from guard.lib.logs import printable
from guard.lib.secrets import BadSecret, place_faults, read_secret
from guard.roles import Refused

URL = "https://api.abuseipdb.com/api/v2/blacklist"
CREDIT = "AbuseIPDB, https://www.abuseipdb.com/"
DAY = 86400.0


class _Meta(msgspec.Struct):
    generatedAt: str = ""  # noqa: N815  the API's name


class _Entry(msgspec.Struct):
    ipAddress: str  # noqa: N815  the API's name


class _Answer(msgspec.Struct):
    data: list[_Entry]
    meta: _Meta = msgspec.field(default_factory=_Meta)


_decode = msgspec.json.Decoder(_Answer).decode


def parse(data: bytes) -> Listed:
    """The answer of the API, as JSON or as plain text. Raises BadFeed."""
    if not data.lstrip().startswith(b"{"):
        return parse_lines(data)
    try:
        answer = _decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise BadFeed(f"not an answer of AbuseIPDB: {printable(str(error))[:100]}") from None
    found = Collector()
    for entry in answer.data:
        found.add(entry.ipAddress)
    return found.listed(stamp=_time(answer.meta.generatedAt))


def _time(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, kw_only=True)
class AbuseIpdbSettings(Common):
    """`credential` names a systemd credential in place of `key_file`.

    `per_day` is what the plan allows; `limit` 0 is as many as the plan gives."""

    type: Literal["abuseipdb"] = "abuseipdb"
    key_file: FilePath | None = None
    credential: str = ""
    url: str = URL
    confidence: int = 100
    limit: int = 0
    ip_version: Literal["both", "4", "6"] = "both"
    only_countries: tuple[str, ...] = ()
    except_countries: tuple[str, ...] = ()
    per_day: int = 5

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if fault := place_faults(self.key_file, self.credential):
            yield "key_file", fault
        if not 25 <= self.confidence <= 100:
            yield "confidence", "must be 25 to 100"
        if self.only_countries and self.except_countries:
            yield "except_countries", "only one of only_countries and except_countries can be set"
        if self.limit < 0:
            yield "limit", "must not be negative"
        if self.per_day < 1:
            yield "per_day", "must be at least 1"

    def recipe(self) -> Recipe:
        """How it is followed. Raises Refused when the key cannot be read."""
        try:
            key = read_secret(self.key_file, self.credential)
        except BadSecret as error:
            raise Refused(f"the key of AbuseIPDB, {error}") from None
        headers = (("Key", key.reveal()), ("Accept", "application/json"))
        part = Part(f"{self.url}?{urlencode(self._query())}", parse, headers, secret=True)
        return self.recipe_of(self.type, (part,), least=DAY / self.per_day, credit=CREDIT)

    def _query(self) -> dict[str, str]:
        query = {
            "confidenceMinimum": str(self.confidence),
            "limit": str(self.limit or ""),
            "ipVersion": "" if self.ip_version == "both" else self.ip_version,
            "onlyCountries": ",".join(self.only_countries),
            "exceptCountries": ",".join(self.except_countries),
        }
        return {name: value for name, value in query.items() if value}
