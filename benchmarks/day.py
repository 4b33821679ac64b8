"""A day of KumoMTA log, made up: what a scanned mail server writes between midnight and midnight.

    python -m benchmarks.day --records 200000 --seed 1 day.jsonl      (or day.zst, or - )

The same seed gives the same bytes. Nobody is meant by the addresses: they are of 11.0.0.0/8 and
3ffe::/16, which nobody uses in public, because documentation addresses are never banned. Who does
what is told by PARTS; the records have the members of KumoMTA 2026-08 in its order. Writes with
the json module and its own words, so that it can test a reader of ours.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, NamedTuple

import zstandard

from benchmarks.pipes import until_unread

DAY = 86400
MIDNIGHT = 1773532800  # 2026-03-15T00:00:00Z
NODE = "dd2b41fd-78f0-4105-8cd9-01ac7114cada"
SLOW_EVERY = 1200  # they come every 20 minutes, all day


class Reply(NamedTuple):
    """A refusal: code, enhanced code, text and the command that it answers."""

    code: int
    enhanced: tuple[int, int, int] | None
    content: str
    command: str | None


class Event(NamedTuple):
    """One record to be: when, of whom, and what."""

    time: float
    address: str
    name: str
    type: str
    reply: Reply
    session: str


class Span(NamedTuple):
    """When the day is: `begin` since the epoch, and its length, both in seconds.

    fail2ban looks at nothing that is older than `findtime`: for it the day is made short and late.
    """

    begin: float
    length: float

    def place(self, time: float) -> float:
        """A time of the day in this span."""
        return self.begin + time * self.length / DAY


THE_DAY = Span(MIDNIGHT, DAY)
OK = Reply(250, None, "", None)
SENT = Reply(250, (2, 0, 0), "OK ids=8a8c0e2f", ". ")
LATER = Reply(451, (4, 7, 1), "greylisted, come back later", "RCPT TO:<someone@example.org>")
NO_USER = Reply(550, (5, 1, 1), "no such user here", "RCPT TO:<nobody@example.org>")
SYNTAX = Reply(501, None, "Syntax error in command or arguments", "MAIL FROM <news@example.com>")
NO_ARGUMENT = Reply(501, None, "Syntax error in command or arguments", "EHLO")
DIAGNOSED = (
    "Syntax error in command or arguments: Error at line 1, in Eof: {0} ^  "
    "while parsing unknown-command: {0}  ^^^^"
)


def relaying(rng: Random, address: str) -> Reply:
    """The refusal of a relay attempt."""
    peer = f"[{address}]" if ":" in address else address
    user = f"{rng.choice('abcdefghjkm')}{rng.randrange(10**6)}"
    text = f"relaying not permitted for {peer}:{rng.randrange(1024, 65536)}"
    return Reply(550, (5, 7, 1), text, f"RCPT TO:<{user}@example.net>")


def authenticating(rng: Random, address: str) -> Reply:
    """NTLM and LOGIN are not offered, PLAIN is not without TLS, and passwords are wrong."""
    word = rng.choice(("NTLM", "NTLM", "LOGIN", "CRAM-MD5", "PLAIN", "guess"))
    if word == "guess":
        return Reply(535, (5, 7, 8), "AUTH invalid", "(redacted)")
    if word == "PLAIN":
        return Reply(524, (5, 7, 11), "AUTH PLAIN requires an encrypted channel", "AUTH PLAIN")
    return Reply(504, (5, 5, 4), f"AUTH {word} not supported", f"AUTH {word}")


def probing(rng: Random, address: str) -> Reply:
    """What scanners of the whole internet send to port 25."""
    line = rng.choice(
        (
            "GET / HTTP/1.1",
            "Host: 203.0.113.10:25",
            "User-Agent: Expanse, a Palo Alto Networks company, searches across the internet",
            "VRFY root",
            "STATUS",
            "\x16\x03\x01",
        )
    )
    if line.startswith(("Host", "User", "\x16")):
        return Reply(501, None, DIAGNOSED.format(line), line)
    return Reply(502, (5, 5, 1), "Command unimplemented", line)


def stumbling(rng: Random, address: str) -> Reply:
    """Syntax errors and the like."""
    return rng.choice((SYNTAX, NO_ARGUMENT, probing(rng, address)))


class Part(NamedTuple):
    """`share` of all records come from `hosts` addresses of `network`, in runs of up to `run`."""

    share: float
    hosts: int
    network: str
    run: int
    pace: float
    replies: tuple[Callable[[Random, str], Reply], ...]


# Of 200,000 records; `hosts` grows and shrinks with the number of records.
PARTS = {
    "busy": Part(0.30, 15, "11.22.0.{}", 400, 0.4, (relaying, authenticating, stumbling)),
    "busy6": Part(0.02, 3, "3ffe:bad:{}::25", 100, 0.5, (relaying, authenticating)),
    "slow": Part(0.03, 80, "11.22.7.{}", 1, 0.0, (relaying, authenticating)),
    "once": Part(0.06, 6000, "11.33.{}.{}", 3, 1.0, (probing, stumbling, relaying)),
}
LEGITIMATE = "11.77.2.{}"
MISTAKE = 0.004  # of an ordinary sender's messages come with a syntax error

# What becomes of a message, and how often: types of records after its Reception.
FATES: tuple[tuple[float, tuple[tuple[str, Reply], ...]], ...] = (
    (0.899, (("Delivery", SENT),)),
    (0.050, (("TransientFailure", LATER), ("Delivery", SENT))),
    (0.020, (("Delayed", Reply(400, None, "Context: throttled", None)), ("Delivery", SENT))),
    (0.020, (("Bounce", NO_USER),)),
    (0.004, (("TransientFailure", LATER), ("Expiration", Reply(551, (5, 4, 7), "too old", None)))),
    (0.002, (("OOB", Reply(550, (5, 1, 1), "mailbox unavailable", None)),)),
    (0.002, (("Feedback", OK),)),
    (0.001, (("AdminBounce", Reply(551, (5, 7, 1), "by hand", None)),)),
    (
        0.001,
        (("AdminRebind", OK), ("DeferredInjectionRebind", OK), ("XferOut", OK), ("XferIn", OK)),
    ),
)
# The servers that mail is delivered to.
WORLD = "203.0.113.{}"


def address_of(network: str, number: int) -> str:
    """The `number`th host of a network given as text with one or two places."""
    if network.count("{}") == 2:
        return network.format(number // 250 % 256, number % 250 + 1)
    return network.format(number + 1 if ":" in network else number % 250 + 1)


def session_of(rng: Random) -> str:
    """A session id, in the shape of a UUID."""
    text = f"{rng.getrandbits(128):032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def refused(rng: Random, part: Part, wanted: int, hosts: int) -> Iterator[Event]:
    """Rejections of one part, about `wanted` of them, in runs within one session."""
    made = 0
    while made < wanted:
        number = rng.randrange(hosts) if part.run > 3 else made // 2 % hosts
        address = address_of(part.network, number)
        when, session = rng.random() * DAY, session_of(rng)
        name = rng.choice(("win-clj1b0gq6jp", "localhost", "user", "[127.0.0.1]", ""))
        for _ in range(min(rng.randint(1, part.run), wanted - made)):
            reply = rng.choice(part.replies)(rng, address)
            yield Event(when % DAY, address, name, "Rejection", reply, session)
            when += rng.expovariate(1.0) * part.pace
            made += 1


def slow(rng: Random, part: Part, wanted: int) -> Iterator[Event]:
    """Hosts that come every 20 minutes, all day, and never more often."""
    visits = DAY // SLOW_EVERY
    for host in range(max(1, wanted // visits)):
        address, start = address_of(part.network, host), rng.random() * SLOW_EVERY
        for visit in range(visits):
            reply = rng.choice(part.replies)(rng, address)
            when = (start + visit * SLOW_EVERY + rng.uniform(-20, 20)) % DAY
            yield Event(when, address, "user", "Rejection", reply, session_of(rng))


def mail(rng: Random, wanted: int) -> Iterator[Event]:
    """Messages of ordinary senders: Reception, what became of it, and a rare mistake."""
    fates, weights = [fate for _, fate in FATES], [weight for weight, _ in FATES]
    senders = max(3, min(240, wanted // 400))
    made = 0
    while made < wanted:
        address = address_of(LEGITIMATE, rng.randrange(senders))
        name, when, session = f"out.{address}.example.com", rng.random() * DAY, session_of(rng)
        if rng.random() < MISTAKE:
            yield Event(when, address, name, "Rejection", SYNTAX, session)
            made += 1
        yield Event(when, address, name, "Reception", OK, session)
        made += 1
        for kind, reply in rng.choices(fates, weights)[0]:
            when += rng.expovariate(1.0)
            peer = address if kind in ("OOB", "Feedback") else address_of(WORLD, rng.randrange(250))
            yield Event(when % DAY, peer, name, kind, reply, session)
            made += 1


def events(records: int, seed: int) -> list[Event]:
    """The day's events in order of time: exactly `records` of them."""
    rng, scale = Random(seed), records / 200_000
    found: list[Event] = []
    for name, part in PARTS.items():
        wanted = int(part.share * records)
        if name == "slow":
            found += slow(rng, part, wanted)
        else:
            found += refused(rng, part, wanted, max(1, int(part.hosts * min(1.0, scale))))
    found += mail(rng, max(0, records - len(found)))
    return sorted(found[:records])


def clock(time: float) -> str:
    """A time since the epoch in RFC 3339 with nanoseconds, as KumoMTA writes it."""
    seconds = int(time)
    fraction = int((time - seconds) * 1e9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09}Z"


def record(event: Event, number: int, span: Span = THE_DAY) -> dict[str, Any]:
    """`event` as KumoMTA's log record."""
    rejected, message = event.type == "Rejection", f"{number:032x}"
    enhanced = event.reply.enhanced
    time = span.place(event.time)
    moment, when = int(time), clock(time)
    sent = event.type not in ("Rejection", "Reception", "Feedback", "OOB")
    return {
        "type": event.type,
        "id": "" if rejected else message,
        "sender": "" if rejected else f"list-{number % 97}@example.com",
        "recipient": "" if rejected else f"reader-{number % 9973}@example.org",
        "queue": "" if rejected else "example.org",
        "site": "unspecified->mx.example.org@smtp_client" if sent else "",
        "size": 0 if rejected else 2000 + number % 50_000,
        "response": {
            "code": event.reply.code,
            "enhanced_code": dict(zip(("class", "subject", "detail"), enhanced, strict=True))
            if enhanced
            else None,
            "content": event.reply.content,
            "command": event.reply.command,
        },
        "peer_address": {"name": event.name, "addr": event.address},
        "timestamp": moment,
        "event_time": when,
        "created": moment,
        "created_time": when,
        "num_attempts": 1 if sent else 0,
        "bounce_classification": "Uncategorized",
        "egress_pool": "unspecified" if sent else None,
        "egress_source": "unspecified" if sent else None,
        "source_address": {"address": "203.0.113.10:0"} if sent else None,
        "feedback_report": None,
        "meta": {},
        "headers": {},
        "delivery_protocol": "ESMTP" if sent else None,
        "reception_protocol": None if rejected else "ESMTP",
        "nodeid": NODE,
        "session_id": event.session,
    }


def lines(records: int, seed: int, span: Span = THE_DAY) -> Iterator[bytes]:
    """The log, line by line."""
    for number, event in enumerate(events(records, seed)):
        text = json.dumps(record(event, number, span), separators=(",", ":"), ensure_ascii=False)
        yield text.encode() + b"\n"


def write(out: str, records: int, seed: int, span: Span = THE_DAY, last: bytes = b"") -> None:
    """Writes the log to `out`, and `last` after it: zstd if it ends in `.zst`, - is stdout."""
    with ExitStack() as stack:
        target: BinaryIO = sys.stdout.buffer
        if out != "-":
            target = stack.enter_context(Path(out).open("wb"))
        if out.endswith(".zst"):
            target = stack.enter_context(zstandard.ZstdCompressor().stream_writer(target))
        for line in lines(records, seed, span):
            target.write(line)
        target.write(last)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.day", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("out", help="a file; .zst is packed, - is standard output")
    chosen = parser.parse_args()
    write(chosen.out, chosen.records, chosen.seed)


if __name__ == "__main__":
    sys.exit(until_unread(main))
