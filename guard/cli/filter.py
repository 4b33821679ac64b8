"""`guard filter`: what a fail2ban filter finds in files, as fail2ban-regex shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from guard.filters.textfilter import Filter, Match

SHOWN = ("matched", "missed", "ignored")


@dataclass(slots=True)
class _Seen:
    """Lines of each sort, the first so many of them, and how many there were."""

    limit: int
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SHOWN, 0))
    lines: dict[str, list[str]] = field(default_factory=lambda: {sort: [] for sort in SHOWN})
    found: list[Match] = field(default_factory=list)

    def add(self, sort: str, line: bytes) -> None:
        self.counts[sort] += 1
        if len(self.lines[sort]) < self.limit:
            self.lines[sort].append(line.decode("utf-8", "replace"))


@click.command("filter")
@click.argument("name", metavar="NAME")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--show",
    type=click.Choice(SHOWN),
    multiple=True,
    help="Print lines of this sort too; may be given several times.",
)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="How many lines of each sort to print.",
)
@config_option
@json_option
def filter_(
    name: str,
    files: tuple[Path, ...],
    show: tuple[str, ...],
    limit: int,
    config: Path | None,
    as_json: bool,
) -> None:
    """Try the filter NAME on FILE: lines matched, missed and ignored, for each expression.

    NAME is a file of filter.d without its .conf, with options as in a jail: "postfix[mode=auth]".
    It is looked for in the folders that [jails] filters names. FILE may be compressed; - is
    standard input. The exit code is 1 when nothing matches.
    """
    from guard.config import load
    from guard.filters.load import load_filter

    tried = load_filter(name, load(config).jails.filters)
    seen = _Seen(limit)
    for line in _lines(files):
        _try(tried, line, seen)
    (_as_json if as_json else _as_text)(tried, seen, show)
    raise click.exceptions.Exit(0 if tried.tally.matched else 1)


def _try(tried: Filter, line: bytes, seen: _Seen) -> None:
    from guard.lib.clock import now

    ignored = tried.tally.ignored
    match = tried.match(line, now())
    if match is None:
        seen.add("missed" if tried.tally.ignored == ignored else "ignored", line)
        return
    seen.add("matched", line)
    if len(seen.found) < seen.limit:
        seen.found.append(match)


def _lines(files: tuple[Path, ...]) -> Iterator[bytes]:
    """Every line of every file, without its end. Raises BadInput for one that is unreadable."""
    from guard.roles import BadInput
    from guard.sources.segment import Segment

    for path in files:
        try:
            with sys.stdin.buffer if path == Path("-") else path.open("rb") as file:
                segment = Segment(file, str(path))
                while (runs := segment.read()) is not None:
                    yield from _split(runs)
                yield from _split(segment.end())
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}") from None
        if segment.damaged:
            raise BadInput(f"{path}: damaged: the rest of it cannot be decompressed")


def _split(runs: list[bytes | None]) -> Iterator[bytes]:
    for run in runs:
        if run:
            yield from run.removesuffix(b"\n").split(b"\n")


def _as_json(tried: Filter, seen: _Seen, show: tuple[str, ...]) -> None:
    tally = tried.tally
    print_json(
        {
            "filter": tried.name,
            "lines": tally.lines,
            **seen.counts,
            "undated": tally.undated,
            "expressions": [
                {"expression": text, "matches": matches, "too_slow": slow}
                for text, matches, slow in _rows(tried)
            ],
            **{f"{sort}_lines": seen.lines[sort] for sort in show},
            **({"found": [_found(match) for match in seen.found]} if "matched" in show else {}),
        }
    )


def _found(match: Match) -> dict[str, object]:
    return {"time": match.time, "address": match.address, "host": match.host, "user": match.user}


def _rows(tried: Filter) -> list[tuple[str, int, int]]:
    tally = tried.tally
    return list(zip(tried.expressions, tally.matches, tally.expired, strict=True))


def _as_text(tried: Filter, seen: _Seen, show: tuple[str, ...]) -> None:
    from guard.lib.logs import printable

    click.echo(f"{tried.name}: {tried.tally.lines} lines")
    for number, (text, matches, slow) in enumerate(_rows(tried), 1):
        if matches or slow:
            late = f", {slow} times too slow" if slow else ""
            click.echo(f"  {number:>3}) [{matches}{late}] {printable(_short(text))}")
    counts = ", ".join(f"{count} {sort}" for sort, count in seen.counts.items())
    undated = f"; {tried.tally.undated} lines had no date" if tried.tally.undated else ""
    click.echo(f"{counts}{undated}")
    for sort in show:
        click.echo(f"{sort}:")
        for index, line in enumerate(seen.lines[sort]):
            head = f"{_stamp(seen.found[index])}  " if sort == "matched" else ""
            click.echo(f"  {head}{printable(line)}")


def _short(text: str) -> str:
    return text if len(text) <= 100 else f"{text[:97]}..."


def _stamp(match: Match) -> str:
    from datetime import UTC, datetime

    when = datetime.fromtimestamp(match.time, UTC)
    return f"{when:%Y-%m-%d %H:%M:%S} {match.address or match.host}"
