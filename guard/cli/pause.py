"""`guard pause` and `guard resume`: the switch that lets everybody in at once."""

from __future__ import annotations

from pathlib import Path

import click

from guard.cli.asking import ask
from guard.cli.options import config_option, json_option, print_json
from guard.lib.durations import format_duration


@click.command()
@click.argument("length", required=False, metavar="[TIME]")
@config_option
@json_option
def pause(length: str | None, config: Path | None, as_json: bool) -> None:
    """Block nobody on this host for TIME, as 10m or 1h, or until `guard resume`.

    Jails go on counting and banning; what they ban is enforced when the pause is over.
    """
    answer = ask(config, "pause", length=length)
    if as_json:
        print_json(answer)
        return
    seconds = answer["seconds"]
    end = "until `guard resume`" if seconds is None else f"for {format_duration(seconds)}"
    click.echo(f"paused {end}: nobody is blocked on this host")


@click.command()
@config_option
@json_option
def resume(config: Path | None, as_json: bool) -> None:
    """End a pause, and let jails go on that were stopped. Exit code 1 when there was neither."""
    answer = ask(config, "resume")
    if as_json:
        print_json(answer)
    elif answer["paused"]:
        click.echo("enforcement goes on")
    for jail in [] if as_json else answer["jails"]:
        click.echo(f"jail {jail} goes on")
    if not (answer["paused"] or answer["jails"]):
        click.echo("nothing was paused", err=True)
        raise click.exceptions.Exit(1)
