"""`guard bans`, `ban`, `unban`, `explain`: the ledger by hand.

They ask the running daemon through its socket. Where none runs they work on the store itself; the
kernel then follows when the daemon starts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import click

from guard.cli.asking import ask, asking
from guard.cli.options import config_option, json_option, print_json, print_rows
from guard.cli.progress import progress
from guard.cli.tables import PAGES, show_table
from guard.lib.clock import now as clock
from guard.lib.durations import format_duration
from guard.lib.logs import legible, printable
from guard.lib.networks import parse_network

# How many counted rejections of a jail `guard explain` shows one by one.
LAST = 5


def show(rows: list[dict[str, Any]]) -> None:
    """Prints claims as a table."""
    now = clock()
    show_table(
        ("NETWORK", "SOURCE", "SINCE", "ENDS IN", "STRIKES", "REASON"),
        (
            (
                row["network"],
                row["source"],
                format_duration(now - row["since"]) + " ago",
                "never" if row["until"] is None else format_duration(row["until"] - now),
                str(row["strikes"]),
                row["reason"],
            )
            for row in rows
        ),
        folding=("REASON",),
    )


@click.command()
@config_option
@json_option
def bans(config: Path | None, as_json: bool) -> None:
    """List every live ban: who, by whom, why, until when."""
    print_rows(ask(config, "bans"), show, nothing="nobody is banned", as_json=as_json)


@click.command()
@click.argument("network")
@click.option("--for", "length", metavar="TIME", help="How long, as 1h or 2d12h [default: ever].")
@click.option("--reason", default="", help="Shown by `guard bans`.")
@config_option
@json_option
def ban(
    network: str,
    length: str | None,
    reason: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Ban NETWORK, an address or a CIDR block, by hand."""
    row = ask(config, "ban", network=network, length=length, reason=reason)
    if as_json:
        print_json(row)
    else:
        end = (
            "for ever"
            if row["until"] is None
            else f"for {format_duration(row['until'] - row['since'])}"
        )
        click.echo(f"banned {row['network']} {end}")
        if row["blocks"] != [row["network"]]:
            click.echo(f"a part of it is protected: carved into {len(row['blocks'])} blocks")


@click.command()
@click.argument("network", required=False)
@click.option("--all", "everyone", is_flag=True, help="End every ban there is.")
@config_option
@json_option
def unban(network: str | None, everyone: bool, config: Path | None, as_json: bool) -> None:
    """End every claim on NETWORK, whoever made it. Exit code 1 when it had none."""
    if (network is None) is not everyone:
        raise click.UsageError("give either a NETWORK or --all")
    if network is None:
        _unban_all(config, as_json=as_json)
        return
    rows = ask(config, "unban", network=network)
    click.echo(_un_banned(rows, as_json=as_json), nl=False)
    if not rows:
        for line in _not_banned(config, network):
            click.echo(line, err=True)
        raise click.exceptions.Exit(1)


def _un_banned(rows: list[dict[str, Any]], *, as_json: bool) -> str:
    """A line for each, all in one text: there may be a million."""
    if as_json:
        return "".join(f"{json.dumps(row)}\n" for row in rows)
    return "".join(f"un-banned {row['network']} ({row['source']})\n" for row in rows)


def _unban_all(config: Path | None, *, as_json: bool) -> None:
    """Un-bans everybody; on a terminal too many to read are counted instead of listed."""
    number = 0
    with asking(config) as answers:
        parts = answers.unban_all()
        total = next(parts)
        few = total <= PAGES or not sys.stdout.isatty()
        with progress("un-banning", total) as advance:
            for rows in parts:
                number += len(rows)
                advance(len(rows))
                if few or as_json:
                    click.echo(_un_banned(rows, as_json=as_json), nl=False)
        answers.noted("unban_all")
    if not number:
        click.echo("nobody is banned", err=True)
    elif not few and not as_json:
        click.echo(f"un-banned {number}")


def _not_banned(config: Path | None, network: str) -> list[str]:
    """What to say to whom un-bans somebody without a claim: perhaps a wider block has one."""
    asked = parse_network(network)
    held = ask(config, "explain", address=network)["claims"]
    wider = [row for row in held if parse_network(row["network"]).covers(asked)]
    return [f"{network} is not banned by itself"] * bool(wider) + [
        f"{row['network']}, which it lies in, is claimed by {row['source']}: un-ban that"
        for row in wider
    ] or [f"{network} is not banned"]


@click.command()
@click.argument("address")
@click.option("--offline", is_flag=True, help="Ask none of the services of [check].")
@config_option
@json_option
def explain(address: str, offline: bool, config: Path | None, as_json: bool) -> None:
    """Say all that is held against ADDRESS, and what others know of it.

    Exit code 1 when it is not blocked.
    """
    answer = ask(config, "explain", address=address)
    answer["opinions"] = [] if offline else ask(config, "opinions", address=address)
    if as_json:
        print_json(answer)
    else:
        _explain(answer)
    raise click.exceptions.Exit(0 if answer["blocked"] else 1)


def _explain(answer: dict[str, Any]) -> None:
    now = clock()
    blocked = "blocked in part" if answer["partly"] else "blocked"
    click.echo(f"{answer['address']}: {blocked if answer['blocked'] else 'not blocked'}")
    if answer["protected"] is not None:
        click.echo(f"  protected: {legible(answer['protected'])}")
    if answer["paused"] is not None:
        click.echo(f"  {answer['paused']}")
    if answer["standing"] is not None:
        click.echo(f"  in good standing: {answer['standing']['said']}")
    for network in answer["spared"]:
        click.echo(f"  {network} covers somebody protected: blocked around him, or not at all")
    for row in answer["claims"]:
        ends = "never" if row["until"] is None else f"in {format_duration(row['until'] - now)}"
        why = legible(row["reason"])
        click.echo(f"  {row['network']} is claimed by {row['source']}, ends {ends}: {why}")
    for line in _counted(answer["counted"], now):
        click.echo(f"  {line}")
    click.echo(f"  strikes so far: {answer['strikes']}")
    for row in answer["opinions"]:
        click.echo(f"  {row['name']}: {printable(_opinion(row))}")
        for jail, number in row["enough"].items():
            rejections = "rejection is" if number == 1 else "rejections are"
            click.echo(f"    so that {number} {rejections} enough for jail {jail}")


def _counted(rows: list[dict[str, Any]], now: float) -> Iterator[str]:
    """What jails still count: all of it where it is little, else a sum of each jail and the last.

    The jail that heard last comes last.
    """
    jails: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=itemgetter("time"), reverse=True):
        jails.setdefault(row["jail"], []).append(row)
    for jail, held in reversed(jails.items()):
        whole = len(held) <= LAST
        if not whole:
            first, last = (format_duration(now - held[at]["time"]) for at in (-1, 0))
            what = _rejections(sum(row["rejections"] for row in held))
            yield f"{what}, first {first} ago, last {last} ago, counted by {jail}; the last:"
        for row in reversed(held[:LAST]):
            said = f"{_rejections(row['rejections'])} {format_duration(now - row['time'])} ago"
            yield f"{said}, counted by {jail}" if whole else f"  {said}"


def _rejections(number: int) -> str:
    return "1 rejection" if number == 1 else f"{number} rejections"


def _opinion(row: dict[str, Any]) -> str:
    """What a service says: `score 87, reported (reports 12, ISP Example)`."""
    if row["error"] is not None:
        return str(row["error"]).removeprefix(f"{row['name']}: ")
    if row["verdict"] is None:
        return "has not heard of it"
    score = "" if row["score"] is None else f"score {row['score']}, "
    facts = ", ".join(f"{name} {value}" for name, value in row["facts"].items())
    ago = f", asked {format_duration(row['age'])} ago" if row["age"] >= 60 else ""
    veto = ", never blocked" if row["veto"] else ""
    return f"{score}{row['verdict']}{veto}" + (f" ({facts})" if facts else "") + ago
