"""Which jails count a rejection, worked out once, and how long what they share is kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from guard.events import JOIN, Window
from guard.jails.jail import Jail


class Route(NamedTuple):
    """The jails that count one kind of rejection, each with its findtime.

    `name` names them all, with JOIN between; `shortest` is the shortest findtime.
    """

    name: str
    shortest: float
    jails: tuple[tuple[str, float], ...]


def route_of(jails: Iterable[Jail]) -> Route:
    """The route to `jails`."""
    found = tuple((jail.name, jail.window.findtime) for jail in jails)
    shortest = min((findtime for _, findtime in found), default=0.0)
    return Route(JOIN.join(name for name, _ in found), shortest, found)


def windows_of(jails: Iterable[Jail], routes: Iterable[Route]) -> dict[str, Window]:
    """The jails' windows; those that share a route, if only through others, share a span."""
    spans = {jail.name: jail.window.findtime for jail in jails}
    together = {name: {name} for name in spans}
    for route in routes:
        joined = set().union(*(together[name] for name, _ in route.jails))
        together.update(dict.fromkeys(joined, joined))
    return {
        jail.name: jail.window._replace(span=max(spans[name] for name in together[jail.name]))
        for jail in jails
    }
