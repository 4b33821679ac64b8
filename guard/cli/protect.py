"""`guard protect`: who is never blocked, why, and what the senders' SPF records say today.

Works without a daemon: the protection is built here from configuration, machine and state. What a
refresh learns is a file in the state directory, which a running daemon takes up within seconds.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.options import config_option, json_option, print_json
from guard.cli.tables import show_table
from guard.lib.clock import now as clock

if TYPE_CHECKING:
    from guard.config import Settings
    from guard.protect.protection import Protectors
    from guard.protect.watch import Watch


def build(settings: Settings) -> tuple[Protectors, Watch]:
    """The protection as a daemon has it when it starts, files and known senders included."""
    from contextlib import ExitStack

    from guard import assemble
    from guard.protect.protection import Protectors
    from guard.protect.watch import Watch

    relay_hosts = [network for one in settings.listener for network in one.relay_hosts]
    protectors = Protectors.build(settings.protect, relay_hosts)
    watch = Watch(settings.protect, protectors, settings.state.dir)
    watch.near(clock())
    assemble.vetoes(settings, protectors)
    with ExitStack() as stack:
        assemble.allowed(settings, protectors, stack)
    return protectors, watch


@click.group()
def protect() -> None:
    """Say who is never blocked, and why."""


@protect.command("list")
@click.option("--all", "every", is_flag=True, help="Every network, not the number for each reason.")
@config_option
@json_option
def list_(every: bool, config: Path | None, as_json: bool) -> None:
    """List who is protected, layer by layer; the first layer has precedence."""
    from guard.config import load
    from guard.protect.protection import LAYERS
    from guard.protect.senders import shipped

    protectors, _ = build(load(config))
    rows = [(layer, str(n), why) for layer in LAYERS for n, why in protectors.layer(layer)]
    if as_json:
        for layer, network, why in rows:
            print_json({"layer": layer, "network": network, "why": why})
        return
    if not every:
        counts = Counter((layer, why) for layer, _, why in rows)
        shown = {(layer, why): network for layer, network, why in rows}
        rows = [
            (layer, shown[layer, why] if number == 1 else f"{number} networks", why)
            for (layer, why), number in counts.items()
        ]
    show_table(("LAYER", "NETWORK", "WHY"), rows)
    if protectors.layer("senders"):
        known = shipped()
        click.echo(f"\nshipped ranges of mail senders: {known.source}, as of {known.date}")


@protect.command()
@click.argument("address")
@config_option
@json_option
def test(address: str, config: Path | None, as_json: bool) -> None:
    """Tell whether ADDRESS, or a network, is protected. Exit code 1 when it is not.

    Names in `allow` are asked for; for a single address its reverse name is, too.
    """
    from guard.config import load
    from guard.lib.networks import parse_network
    from guard.protect.carve import carve
    from guard.roles import BadInput

    try:
        network = parse_network(address)
    except ValueError as error:
        raise BadInput(str(error)) from None
    protectors, watch = build(load(config))
    watch.noticed(network)
    watch.far(clock())
    why, parts = protectors.protects(network), protectors.parts(network)
    left = carve(network, [part for part, _ in parts])
    if as_json:
        answer: dict[str, Any] = {"network": str(network), "protected": why}
        answer["parts"] = [{"network": str(part), "why": reason} for part, reason in parts]
        answer["blockable"] = [str(piece) for piece in left]
        print_json(answer)
    elif why is None:
        click.echo(f"{network} is not protected")
    else:
        click.echo(f"{network} is protected: {why}")
        _parts(network.is_address, parts, len(left))
    raise click.exceptions.Exit(1 if why is None else 0)


def _parts(alone: bool, parts: list[tuple[Any, str]], left: int) -> None:
    if alone:
        return
    for part, reason in parts[:20]:
        click.echo(f"  {part}  {reason}")
    if len(parts) > 20:
        click.echo(f"  and {len(parts) - 20} more")
    click.echo(f"a ban would be carved into {left} blocks" if left else "a ban would be refused")


@protect.command()
@config_option
@json_option
def refresh(config: Path | None, as_json: bool) -> None:
    """Ask for the SPF records of the known mail senders now. Exit code 69 when none answered."""
    from rich.console import Console

    from guard.config import load
    from guard.lib.durations import format_duration

    _, watch = build(load(config))
    now = clock()
    with Console(stderr=True).status("asking the DNS"):
        book = watch.refresh(now)
    if as_json:
        for name, learnt in book.items():
            row = {"sender": name, "time": learnt.time or None, "fault": learnt.fault or None}
            print_json({**row, "networks": [str(network) for network in learnt.networks]})
    else:
        rows = [
            (
                name,
                str(len(learnt.networks)),
                format_duration(now - learnt.time) + " ago" if learnt.time else "never",
                learnt.fault or "good",
            )
            for name, learnt in book.items()
        ]
        show_table(("SENDER", "NETWORKS", "LEARNT", "STATE"), rows)
    if not any(learnt.time == now for learnt in book.values()):
        raise click.exceptions.Exit(69)
