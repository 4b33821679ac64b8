"""`guard demo`: plays a scanner's day against a listener of its own, and shows what Guard does.

Everything stays on the loopback interface and in a temporary folder; the firewall is the dry run.
The peers are addresses of 127.0.0.0/8, so protection of loopback is off in here, and only here.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.lib.durations import format_duration
from guard.lib.logs import printable

if TYPE_CHECKING:
    from guard.config import Settings
    from guard.lib.fields import Endpoint


@dataclass(frozen=True)
class Act:
    """A peer, what it is, what it says in each session, how often it comes, how it ends."""

    title: str
    address: str
    lines: tuple[str, ...]
    sessions: int = 1
    banned: bool = True


RELAY = ("EHLO WIN-CLJ1B0GQ6JP", "MAIL FROM:<test@test.com>", "RCPT TO:<mmiihhww09@gmail.com>")
ACTS = (
    Act("a scanner looks for an open relay", "127.0.0.66", RELAY, 5),
    Act(
        "Expanse speaks HTTP to port 25",
        "127.0.0.67",
        ("GET / HTTP/1.1\r\nUser-Agent: Expanse, a Palo Alto Networks company, searches",),
    ),
    Act("somebody tries NTLM", "127.0.0.68", ("EHLO x", "AUTH NTLM", "AUTH NTLM"), 5),
    Act(
        "a customer mistypes once, then sends mail",
        "127.0.0.10",
        ("EHLO office.example.com", "MIAL FROM:<ann@example.com>", "MAIL FROM:<ann@example.com>",
         "RCPT TO:<bob@example.com>", "DATA", "Subject: hello\r\n\r\nHello Bob.\r\n."),
        banned=False,
    ),
)  # fmt: skip


def _settings(folder: Path) -> Settings:
    from guard.config import parse

    domains = folder / "listener_domains.toml"
    domains.write_text('["example.com"]\nrelay_to = true\n')
    return parse(
        {
            "state": {"dir": str(folder), "socket": str(folder / "guard.sock")},
            "listener": [
                {
                    "listen": "127.0.0.1:0",
                    "hostname": "mx.example.com",
                    "relay_hosts": [],
                    "listener_domains": [domains.name],
                }
            ],
            "delivery": {"enabled": False},
            "protect": {"reserved": False, "own": False, "senders": False},
        },
        folder / "guard.toml",
    )


@click.command()
def demo() -> None:
    """Play a scanner's day against a listener on loopback and show what Guard does."""
    from guard import assemble
    from guard.daemon import Daemon
    from guard.lib.clock import now

    with tempfile.TemporaryDirectory(prefix="guard-demo-") as name:
        logging.getLogger("guard").setLevel(logging.ERROR)  # the play tells what happens
        made = assemble.up(_settings(Path(name)))
        control = Path(name) / "guard.sock"

        async def main() -> None:
            ready = asyncio.Event()
            daemon = Daemon(made.parts, now, ready.set)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(daemon.run())
                waiting = group.create_task(ready.wait())
                await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    waiting.cancel()  # it did not start; the group raises why
                    return
                try:
                    await _play(made.listening()[0], control)
                finally:
                    daemon.stop()

        asyncio.run(main())


async def _play(server: Endpoint, control: Path) -> None:
    from guard.cli.bans import show
    from guard.control import call

    for act in ACTS:
        click.secho(f"\n{act.address}: {act.title}", bold=True)
        for number in range(act.sessions):
            await _session(server, act, quiet=number > 0)
        if act.sessions > 1:
            click.echo(f"    ... {act.sessions} times in all")
        click.secho(await _outcome(act, control), fg="yellow" if act.banned else "green")
    click.secho("\nguard bans", bold=True)
    show(await asyncio.to_thread(call, control, "bans"))
    click.secho("\nguard unban 127.0.0.66", bold=True)
    for row in await asyncio.to_thread(call, control, "unban", network="127.0.0.66"):
        click.echo(f"un-banned {row['network']} ({row['source']})")


async def _outcome(act: Act, control: Path) -> str:
    """Whether Guard banned the peer; counting runs a moment behind the listener."""
    from guard.control import call

    for _ in range(50):
        answer = await asyncio.to_thread(call, control, "explain", address=act.address)
        if answer["claims"] or not act.banned:
            break
        await asyncio.sleep(0.1)
    for claim in answer["claims"]:
        length = format_duration(claim["until"] - claim["since"])
        return f"--> banned for {length} by {claim['source']}: {claim['reason']}"
    by_jail = Counter(row["jail"] for row in answer["counted"])
    return f"--> not banned: {max(by_jail.values(), default=0)} rejection, far from enough"


async def _session(server: Endpoint, act: Act, *, quiet: bool) -> None:
    reader, writer = await asyncio.open_connection(*server, local_addr=(act.address, 0))
    try:
        await _reply(reader, quiet=True)
        for line in act.lines:
            writer.write(line.encode() + b"\r\n")
            if not quiet:
                for part in line.split("\r\n"):
                    click.echo(f"    C: {part}")
            if not await _reply(reader, quiet=quiet):
                return
    finally:
        writer.close()
        await writer.wait_closed()


async def _reply(reader: asyncio.StreamReader, *, quiet: bool) -> bool:
    """Shows the first line of one reply; False when the server has closed."""
    more = False
    while True:
        line = (await asyncio.wait_for(reader.readline(), 10)).decode("ascii", "replace").rstrip()
        if not line:
            return False
        if not (quiet or more):
            colour = {"2": "green", "3": "green"}.get(line[0], "red")
            click.echo(f"    S: {click.style(printable(line), fg=colour)}")
        more = line[3:4] == "-"
        if not more:
            return True
