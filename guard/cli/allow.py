"""`guard allow` and `disallow`: the allow list by hand, on every host that shares the store."""

from __future__ import annotations

from pathlib import Path

import click

from guard.cli.asking import ask
from guard.cli.options import config_option, json_option, print_json
from guard.lib.durations import format_duration


@click.command()
@click.argument("network")
@click.option("--for", "length", metavar="TIME", help="How long, as 1h or 2d12h [default: ever].")
@click.option("--reason", default="", help="Shown by `guard explain` and `guard protect list`.")
@config_option
@json_option
def allow(
    network: str, length: str | None, reason: str, config: Path | None, as_json: bool
) -> None:
    """Let NETWORK in at once, whoever banned it, and keep jails and lists from banning it."""
    answer = ask(config, "allow", network=network, length=length, reason=reason)
    if as_json:
        print_json(answer)
        return
    until = answer["until"]
    length = "for ever" if until is None else f"for {format_duration(until - answer['since'])}"
    click.echo(f"allowed {answer['network']} {length}")
    for claim in answer["claims"]:
        click.echo(f"  without effect there: {claim['network']} {claim['source']}")


@click.command()
@click.argument("network")
@config_option
@json_option
def disallow(network: str, config: Path | None, as_json: bool) -> None:
    """End what `guard allow NETWORK` said. Exit code 1 when it said nothing."""
    answer = ask(config, "disallow", network=network)
    if as_json:
        print_json(answer)
    elif answer["ended"]:
        click.echo(f"{answer['network']} is no longer allowed by hand")
        if answer["protected"] is not None:
            click.echo(f"  still protected: {answer['protected']}")
    if not answer["ended"]:
        click.echo(f"{answer['network']} was not allowed by hand", err=True)
        raise click.exceptions.Exit(1)
