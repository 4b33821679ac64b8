"""`guard bans`, `ban`, `unban`, `explain`: the ledger by hand.

They ask the running daemon through its socket. Where none runs they work on the store itself; the
kernel then follows when the daemon starts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import click

from guard.cli.options import config_option, json_option, print_json, print_rows
from guard.cli.tables import show_table
from guard.lib.clock import now as clock
from guard.lib.durations import format_duration
from guard.lib.logs import legible, printable
from guard.lib.networks import parse_network

# How many counted rejections of a jail `guard explain` shows one by one.
LAST = 5
_NO_DAEMON = "no daemon runs: noted in the ledger, enforced when it starts"
_NO_DAEMON_HERE = "no daemon runs here: noted in Redis, and enforced by the hosts that share it"


def ask(config: Path | None, name: str, **arguments: Any) -> Any:
    """What the daemon, or without one the store, answers to `name`."""
    from guard import assemble
    from guard.config import load
    from guard.control import NoDaemon, call

    settings = load(config)
    try:
        return call(settings.state.meeting, name, **arguments)
    except NoDaemon:
        if name == "status":
            raise
        if name == "opinions":
            with assemble.checks_by_hand(settings) as checks:
                return checks.opinions(now=clock(), **arguments) if checks is not None else []
        # What a daemon logs of these, the command says itself.
        for logger in ("guard.bans", "guard.operations"):
            logging.getLogger(logger).addHandler(logging.NullHandler())
        with assemble.operations(settings) as operations:
            answer = operations.do(name, arguments, clock())
        if name in ("ban", "unban", "unban_all", "allow", "disallow", "pause", "resume"):
            shared = settings.store.url is not None and name not in ("pause", "resume")
            click.echo(_NO_DAEMON_HERE if shared else _NO_DAEMON, err=True)
        return answer


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
    rows = ask(config, "unban_all") if everyone else ask(config, "unban", network=network)
    if as_json:
        for row in rows:
            print_json(row)
    for row in [] if as_json else rows:
        click.echo(f"un-banned {row['network']} ({row['source']})")
    if not rows:
        for line in _not_banned(config, network):
            click.echo(line, err=True)
        raise click.exceptions.Exit(0 if everyone else 1)


def _not_banned(config: Path | None, network: str | None) -> list[str]:
    """What to say to whom un-bans somebody without a claim: perhaps a wider block has one."""
    if network is None:
        return ["nobody is banned"]
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
