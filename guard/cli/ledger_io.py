"""`guard export` and `guard import`: the ledger to and from files, and out of fail2ban's database.

They ask the running daemon as `guard bans` does. A file is read whole and given in pieces, all of a
network in one, so that an import that broke off may simply be repeated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from guard.cli.asking import ask, asking
from guard.cli.options import config_option, json_option, print_json
from guard.cli.progress import progress
from guard.lib.clock import now as clock
from guard.lib.durations import parse_duration
from guard.lib.logs import printable
from guard.lib.networks import parse_network
from guard.roles import BadInput, Forbidden

PIECE = 2500  # rows
PIECE_BYTES = 500_000  # the daemon reads no more than twice that
Row = dict[str, Any]


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "plain"]),
    default="json",
    help="json: claims and strikes, one object a line; plain: the networks blocked, one a line.",
)
@config_option
def export(form: str, config: Path | None) -> None:
    """Print the whole ledger, for `guard import` or any other program."""
    rows = ask(config, "export")
    if form == "plain":
        claimed = (row["network"] for row in rows if "source" in row)
        for network in sorted({parse_network(text) for text in claimed}):
            click.echo(str(network))
        return
    for row in rows:
        print_json(row)


@click.command("import")
@click.argument("what", metavar="FILE | fail2ban [DATABASE]")
@click.argument(
    "database", required=False, type=click.Path(path_type=Path, dir_okay=False, readable=False)
)
@click.option("--for", "length", metavar="TIME", help="For a plain list: how long [default: ever].")
@click.option("--reason", default="imported", help="For a plain list: shown by `guard bans`.")
@config_option
@json_option
def import_(
    what: str,
    database: Path | None,
    length: str | None,
    reason: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Take bans and strikes from an export, a plain list of networks, or fail2ban.

    What is protected is left out, what has ended counts as a strike only, and taking the same file
    twice changes nothing.
    """
    if what == "fail2ban":
        from guard.cli import fail2ban_db

        found = fail2ban_db.rows(database or fail2ban_db.DEFAULT)
        rows: Iterable[Row] = chain.from_iterable(found)
    elif database is not None:
        raise click.UsageError("one FILE, or fail2ban and its DATABASE")
    else:
        rows = read_file(Path(what), length, reason)
    counts: Counter[str] = Counter()
    faults: list[str] = []
    every = list(rows)
    with asking(config) as answers, progress("importing", len(every)) as advance:
        for piece in pieces(every):
            answer = answers.ask("import", rows=piece)
            faults += answer.pop("faults")
            counts.update(answer)
            advance(len(piece))
    if as_json:
        print_json({**counts, "faults": faults})
    else:
        _say(counts, faults)
    if counts["wrong"] and not counts["claims"] and not counts["strikes"]:
        raise BadInput("nothing in it could be read")


def _say(counts: Counter[str], faults: list[str]) -> None:
    click.echo(f"{counts['claims']} bans taken, and the record of {counts['strikes']} networks")
    if counts["ended"]:
        click.echo(f"{counts['ended']} had ended")
    if counts["protected"]:
        click.echo(f"{counts['protected']} left out: protected")
    if counts["wrong"]:
        click.echo(f"{counts['wrong']} could not be read", err=True)
    for fault in faults[:10]:
        click.echo(f"  {printable(fault)}", err=True)


def read_file(path: Path, length: str | None, reason: str) -> list[Row]:
    """The rows of an export, or of a plain list with what the command line says of it."""
    try:
        text = path.read_text("utf-8-sig")  # editors of Windows begin with a mark
    except PermissionError:
        raise Forbidden(f"not permitted to read {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    lines = [line.strip() for line in text.splitlines()]
    if any(line.startswith("{") for line in lines):
        return [_object(line, number) for number, line in enumerate(lines, 1) if line]
    now = clock()
    try:
        until = None if length is None else now + parse_duration(length)
    except ValueError as error:
        raise BadInput(str(error)) from None
    said = {"source": "manual", "reason": reason, "since": now, "until": until}
    networks = (line.partition("#")[0].partition(";")[0].strip() for line in lines)
    return [{"network": network, **said} for network in networks if network]


def _object(line: str, number: int) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    return row if isinstance(row, dict) else {"network": f"line {number}"}


def pieces(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """`rows` in pieces of some thousand, those of one network always in one."""
    networks: dict[str, list[Row]] = {}
    for row in rows:
        networks.setdefault(str(row.get("network")), []).append(row)
    piece: list[Row] = []
    size = 0
    for group in networks.values():
        piece += group
        size += len(ascii(group))  # near what JSON makes of it, in a tenth of the time
        if len(piece) >= PIECE or size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece
