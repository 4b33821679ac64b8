"""A service, ready to run, and what an operator wants to know of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guard import __version__
from guard.config import Settings
from guard.jails.jail import Jail
from guard.lib.durations import format_duration
from guard.lib.fields import Endpoint
from guard.lib.redis_url import parse_redis_url
from guard.parts import Parts
from guard.smtp.server import Server


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A service, ready to run, and what an operator wants to know of it."""

    parts: Parts
    settings: Settings
    servers: Sequence[Server] = ()
    jails: Sequence[Jail] = ()
    firewall: str = ""
    separated: bool = False  # another process has the firewall's privileges: drop them here

    def listening(self) -> list[Endpoint]:
        """The addresses that the listeners really have; known once they run."""
        return [address for server in self.servers for address in server.addresses]

    def summary(self) -> Iterator[tuple[str, str]]:
        """(title, text) for each part, in an operator's words."""
        yield "guard", __version__
        for address, server in ((a, s) for s in self.servers for a in s.addresses):
            hosts = ", ".join(map(str, server.settings.relay_hosts)) or "nobody"
            yield "listener", f"{address}, relays for {hosts}"
        if self.firewall:
            yield "store", _place(self.settings)
            yield "firewall", self.firewall
            if self.settings.web.listen:
                yield "status", f"http://{self.settings.web.listen}/ and /metrics"
        for jail in self.jails:
            retry, findtime, _ = jail.window
            yield (
                "jail",
                (
                    f"{jail.name}: {retry} within {format_duration(findtime)} "
                    f"bans for {format_duration(jail.bantime)}"
                ),
            )


def _place(settings: Settings) -> str:
    if settings.store.url is None:
        return f"embedded, in {settings.state.dir}"
    return str(parse_redis_url(settings.store.url))
