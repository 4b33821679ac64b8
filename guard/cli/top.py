"""`guard top`: a live look at what comes in, how fast, and who was banned last.

Everything is taken from two answers of the daemon to `status`, some seconds apart: a number that
grew has a rate. On a terminal the look renews itself until Ctrl-C; elsewhere there is one look.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from guard.cli.asking import ask
from guard.cli.options import config_option, json_option, print_json
from guard.cli.tables import show
from guard.lib.clock import now as clock
from guard.lib.durations import format_duration, parse_duration

if TYPE_CHECKING:
    from rich.console import Group

NEWEST = 10
# They say how things are, not what happened: an age grows and is no event.
_STATES = ("oldest", "lag", "behind", "seconds", "age", "expected", "present", "waiting", "last")


class Moved(NamedTuple):
    """A number of the status that grew: what it is called, what it is now, and per second."""

    what: str
    now: float
    rate: float


class Look(NamedTuple):
    """What one look shows. `newest` are the latest bans, latest first."""

    status: Mapping[str, Any]
    moved: Sequence[Moved]
    newest: Sequence[Mapping[str, Any]]


def numbers(status: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """Every number in `status` that counts events, with a name: `listener 0.0.0.0:25 refused`."""
    for name, value in status.items():
        words = f"{before} {name}".strip()
        if isinstance(value, Mapping):
            yield from numbers(value, words)
        elif isinstance(value, list):
            for row in value:
                if isinstance(row, Mapping):
                    yield from numbers(row, f"{words} {row.get('name', '')}".strip())
        elif type(value) in (int, float) and not any(state in name for state in _STATES):
            yield words, float(value)


def moved(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> list[Moved]:
    """What grew within `seconds` from one status to the next, fastest first."""
    known = dict(numbers(before))
    found = [
        Moved(what, number, (number - known.get(what, 0.0)) / seconds)
        for what, number in numbers(after)
        if number > known.get(what, 0.0)
    ]
    return sorted(found, key=lambda one: (-one.rate, one.what))


@click.command()
@click.option("--every", default="2s", metavar="TIME", help="From look to look [default: 2s].")
@click.option(
    "--looks",
    type=click.IntRange(min=1),
    help="End after so many [default: 1, on a terminal until Ctrl-C].",
)
@config_option
@json_option
def top(every: str, looks: int | None, config: Path | None, as_json: bool) -> None:
    """Watch what comes in, how fast, and who was banned last."""
    try:
        seconds = parse_duration(every)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--every") from None
    if not 0.1 <= seconds <= 86400:
        raise click.BadParameter("is a time of 100 ms to a day", param_hint="--every")
    live = sys.stdout.isatty() and not as_json
    if looks is None and not live:
        looks = 1
    taken = _looks(config, seconds, looks)
    if live:
        _live(taken)
        return
    for look in taken:
        if as_json:
            print_json(
                {
                    "time": clock(),
                    "bans": look.status.get("bans"),
                    "rates": {one.what: round(one.rate, 3) for one in look.moved},
                    "newest": list(look.newest),
                }
            )
        else:
            show(_page(look))


def _looks(config: Path | None, seconds: float, looks: int | None) -> Iterator[Look]:
    """Looks, one every `seconds`, the first after as long."""
    before, asked = ask(config, "status"), time.monotonic()
    for _ in count() if looks is None else range(looks):
        time.sleep(seconds)
        after, now = ask(config, "status"), time.monotonic()
        rows = sorted(ask(config, "bans"), key=lambda row: row["since"], reverse=True)
        yield Look(after, moved(before, after, now - asked), rows[:NEWEST])
        before, asked = after, now


def _live(looks: Iterator[Look]) -> None:
    """Shows each look in place of the one before."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    wait = Text("looking ...")
    with Live(wait, console=Console(), auto_refresh=False, screen=True) as screen:
        try:
            for look in looks:
                screen.update(_page(look), refresh=True)
        except KeyboardInterrupt:
            return


def _page(look: Look) -> Group:
    """A head line, what moves, and who was banned last."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    head = Text.assemble(
        ("bans ", "bold"), f"{look.status.get('bans')}   ",
        ("firewall ", "bold"), f"{look.status.get('firewall')}\n",
    )  # fmt: skip
    rates = Table("WHAT", box=None, pad_edge=False, header_style="bold")
    rates.add_column("A SECOND", justify="right")
    rates.add_column("SO FAR", justify="right")
    for one in look.moved:
        rates.add_row(Text(one.what), f"{one.rate:,.1f}", f"{one.now:,.0f}")
    bans = Table("NEWEST BANS", "SOURCE", "SINCE", "REASON", box=None, pad_edge=False)
    bans.header_style = "bold"
    for row in look.newest:
        since = format_duration(max(0.0, clock() - row["since"])) + " ago"
        bans.add_row(*map(Text, (row["network"], row["source"], since, row["reason"])))
    return Group(
        head,
        rates if look.moved else Text("nothing came in"),
        Text(""),
        bans if look.newest else Text("nobody is banned"),
    )
