"""Refused sessions per CPU-second of the server: our listener beside its peers.

    python -m benchmarks.smtp [--seconds 1] [--rounds 7] [--only NAME,...] [--json]

All servers wait on the last processor, and are asked one after the other, in short rounds, by 100
connections at once from 200 addresses. What counts is the CPU time of a server's process tree, user
and system, so that clients and other load on the machine matter little. Figures are medians.

`guard` is `guard listener` as in production: limits, scanners' names, relay policy,
classification, every rejection on its way into Redis, and equal ones collapsed in the record log.
The peers, which log nothing or into nothing: stock aiosmtpd on uvloop; Postfix smtpd, and
postscreen (deep tests after a greet pause of one second, nobody remembered); `bare`, an
asyncio.Protocol on uvloop that answers by the first letter; `c`, an epoll loop that does. Who
cannot run here is left out, with the reason. At the end 5,000 connections stay open, and what each
costs the listener in memory is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack

import uvloop

from benchmarks.pipes import until_unread
from benchmarks.smtp_load import ADDRESSES, SCRIPTS, play
from benchmarks.smtp_servers import SERVED, SERVERS, Missing, Running, cpu, guard, memory

Found = dict[str, dict[str, float]]
IDLE = 5000


def measure(server: Running, scenario: str, seconds: float) -> float:
    """Sessions per CPU-second."""
    before = cpu(server.pid)
    sessions = play(server.port, SCRIPTS[scenario], server.connections, seconds)
    return sessions / max(cpu(server.pid) - before, 0.001)


def run(
    seconds: float, rounds: int, names: Sequence[str], scenarios: Sequence[str] = tuple(SCRIPTS)
) -> tuple[Found, dict[str, str]]:
    """Medians of interleaved rounds (scenario -> server -> sessions per CPU-second); who is
    missing, and why."""
    found: dict[str, dict[str, list[float]]] = {scenario: {} for scenario in scenarios}
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        servers: dict[str, Running] = {}
        for name in names:
            try:
                servers[name] = stack.enter_context(SERVERS[name]())
            except Missing as error:
                missing[name] = str(error)
        for scenario, rows in found.items():
            for name, server in servers.items():  # warm
                play(server.port, SCRIPTS[scenario], server.connections, min(seconds, 0.3))
                rows[name] = []
            for _ in range(rounds):
                for name, server in servers.items():
                    rows[name].append(measure(server, scenario, seconds))
    medians = {
        scenario: {name: statistics.median(values) for name, values in rows.items()}
        for scenario, rows in found.items()
    }
    return medians, missing


def idle(connections: int = IDLE) -> float:
    """Bytes of memory that each of so many connections costs, which said EHLO and then nothing.

    Raises Missing.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most < connections + 100:
        raise Missing(f"no more than {most} files may be open")
    with guard() as server, ExitStack() as stack:
        play(server.port, SCRIPTS["reject"], server.connections, 0.3)  # warm
        before = memory(server.pid)
        for number in range(connections):
            source = f"127.1.0.{1 + number % ADDRESSES}", 0
            client = socket.create_connection(("127.0.0.1", server.port), 30, source)
            stack.enter_context(client)
            client.sendall(b"EHLO mail.example.org\r\n")
            heard = b""
            while b"250 " not in heard:
                heard += client.recv(4096)
        return (memory(server.pid) - before) / connections


def table(found: Found) -> str:
    """The figures, and how many times each peer's ours are."""
    names = list(dict.fromkeys(name for rows in found.values() for name in rows))
    lines = [f"{'sessions per CPU-second':24}" + "".join(f"{name:>11}" for name in names)]
    for scenario, rows in found.items():
        lines.append(f"{scenario:24}" + "".join(f"{rows.get(name, 0):11.0f}" for name in names))
    peers = [name for name in names if name != "guard"]
    lines.append(f"{'guard is so many times':24}" + "".join(f"{name:>11}" for name in ("", *peers)))
    for scenario, rows in found.items():
        ratios = [f"{rows['guard'] / rows[name]:11.2f}" for name in peers if "guard" in rows]
        lines.append(f"{scenario:24}{'':11}" + "".join(ratios))
    return "\n".join(lines)


def main() -> None:
    """Measures and prints tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(SERVERS), metavar="NAME,...")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=SERVED, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(SERVED[options.serve](lambda port: print(port, flush=True)))
        return
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    found, missing = run(options.seconds, options.rounds, options.only.split(","))
    try:
        each = idle()
    except Missing as error:
        each, missing["idle connections"] = 0.0, str(error)
    if options.json:
        print(json.dumps({"sessions": found, "missing": missing, "idle_bytes": each}))
        return
    print(table(found))
    if each:
        print(f"{IDLE} idle connections take {each / 1024:.1f} KiB each")
    for name, reason in missing.items():
        print(f"not measured: {name}, because {reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(until_unread(main))
