"""`guard expire`: ends the null routes that are over, where no Guard runs that would."""

from __future__ import annotations

import click

from guard.cli.options import json_option, print_json


@click.command()
@json_option
def expire(as_json: bool) -> None:
    """End null routes (the back end `blackhole`) whose time is over, while Guard is stopped.

    Reads no configuration: each route carries its end. For guard-expire.timer; does nothing while
    a Guard runs that keeps the routes.
    """
    from guard.firewall.routes import Routes
    from guard.firewall.sole import holder
    from guard.lib.clock import now

    ended = 0
    if not holder("blackhole"):
        routes = Routes()
        try:
            ended = routes.sweep(now())
        finally:
            routes.close()
    if as_json:
        print_json({"ended": ended})
    elif ended:
        click.echo(f"{ended} null route{'s' if ended > 1 else ''} ended")
