"""Lists as text, in all the forms that publishers have: parsed without trust, a line at a time.

An entry is an address, a CIDR block or a range `a-b`; `#`, `;` and `//` begin a comment; BOM, CRLF,
blanks and further columns do not matter. What cannot be read is counted, never guessed: a block
with host bits set might be a typing error in either half.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from socket import AF_INET, inet_pton

import msgspec

from guard.feeds.recipe import BadFeed, Listed
from guard.lib.logs import printable
from guard.lib.networks import Network
from guard.lib.prefixes import parse_networks

_SAMPLE = 60


def decoded(data: bytes) -> str:
    """`data` as text, whatever its encoding: what matters is ASCII."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "replace")


def looks_like_html(data: bytes) -> bool:
    """Whether `data` is a page for people, such as an error or a log-in."""
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<body", b"<script"))


class Collector:
    """Takes entries as text; makes a Listed of them."""

    def __init__(self) -> None:
        self.networks: list[Network] = []
        self.bad, self.sample = 0, ""

    def add(self, text: str) -> None:
        """One entry."""
        try:
            value = int.from_bytes(inet_pton(AF_INET, text), "big")
            self.networks.append(Network(4, value, 32))
        except (OSError, ValueError):
            self._add_other(text)

    def _add_other(self, text: str) -> None:
        try:
            self.networks += parse_networks(text)
        except ValueError:
            self.bad += 1
            self.sample = self.sample or printable(text[:_SAMPLE])

    def listed(self, notice: str = "", stamp: float | None = None) -> Listed:
        """What was taken."""
        return Listed(self.networks, self.bad, self.sample, notice, stamp=stamp)


def _entry(line: str) -> str:
    """The part of a line before any comment."""
    for mark in ("#", ";", "//"):
        if mark in line:
            line = line.partition(mark)[0]
    return line.strip()


def parse_lines(data: bytes, level: int = 0) -> Listed:
    """One entry a line, first on it; with `level`, only those whose second column is that high."""
    found = Collector()
    take, number = found.networks.append, int.from_bytes
    for line in decoded(data).splitlines():
        # Nearly all lines of nearly all lists are an IPv4 address, and there are many.
        if not level and "-" not in line:
            try:
                packed = inet_pton(AF_INET, line.partition("\t")[0])
            except (OSError, ValueError):
                pass
            else:
                take(Network(4, number(packed, "big"), 32))
                continue
        _read_line(line, level, found)
    return found.listed(_notice(data))


def _read_line(line: str, level: int, found: Collector) -> None:
    """A line in any form."""
    entry = _entry(line)
    if not entry:
        return
    words = entry.split(None, 3)
    if level and not _high_enough(words, level):
        return
    if len(words) > 2 and words[1] == "-":
        found.add(words[0] + "-" + words[2])
    else:
        found.add(words[0].rstrip(","))


def _high_enough(words: list[str], level: int) -> bool:
    return len(words) > 1 and words[1].isascii() and words[1].isdigit() and int(words[1]) >= level


def _notice(data: bytes) -> str:
    """The copyright line among the leading comments, or nothing."""
    for line in decoded(data[:4096]).splitlines():
        text = line.lstrip("#;/ \t").strip()
        if not line.startswith(("#", ";", "//")):
            return ""
        if "(c)" in text.lower() or "copyright" in text.lower() or "\u00a9" in text:
            return printable(text[:200])
    return ""


def parse_columns(data: bytes, column: str) -> Listed:
    """A CSV file: `column` is the name in its first line, or a number from 1 where it has none."""
    rows = csv.reader(io.StringIO(decoded(data)), skipinitialspace=True)
    found, index = Collector(), int(column) - 1 if column.isdigit() else -1
    try:
        for row in rows:
            if not row or row[0].lstrip().startswith("#"):
                continue
            if index < 0:
                index = _index(row, column)
            elif index < len(row):
                found.add(row[index].strip())
    except csv.Error as error:
        raise BadFeed(f"not CSV: {error}") from None
    return found.listed()


def _index(row: list[str], column: str) -> int:
    names = [name.strip().lower() for name in row]
    if column.lower() not in names:
        raise BadFeed(f"has no column {column!r}, only {printable(', '.join(names)[:100])}")
    return names.index(column.lower())


def parse_json(data: bytes, paths: Iterable[str]) -> Listed:
    """JSON, one document or one a line: entries are the texts at `paths`, as `prefixes.cidr`.

    Lists on the way are gone through. Raises BadFeed when it is not JSON.
    """
    found = Collector()
    ways = [path.split(".") for path in paths]
    for document in _documents(data):
        for way in ways:
            for text in _at(document, way):
                found.add(text)
    return found.listed()


def _documents(data: bytes) -> Iterator[object]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        yield msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            lines = [msgspec.json.decode(line) for line in data.splitlines() if line.strip()]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadFeed(f"not JSON: {printable(str(error))[:100]}") from None
        yield from lines


def _at(value: object, way: list[str]) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _at(item, way)
    elif way and isinstance(value, dict):
        if way[0] in value:
            yield from _at(value[way[0]], way[1:])
    elif not way and isinstance(value, str):
        yield value
