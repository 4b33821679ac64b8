"""A report in words: made of kinds, counts, times and ports, of nothing else.

AbuseIPDB shows comments to everybody, and asks for no personal data in them; whoever is reported
reads them too. So no name of a host, a jail or a user, no address but that which is reported, and
nothing that a peer wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from guard.events import Kind
from guard.reporters.abuseipdb.facts import Facts, Part

LONGEST = 1024  # what is longer is cut by AbuseIPDB
WORDS: Mapping[str, str] = {
    Kind.RELAY_DENIED: "relaying denied",
    Kind.AUTH_UNSUPPORTED: "AUTH where none is offered",
    Kind.AUTH_FAILED: "wrong user or password",
    Kind.COMMAND_UNIMPLEMENTED: "commands that no mail server has",
    Kind.SYNTAX_ERROR: "broken commands",
    Kind.NON_SMTP: "another protocol than SMTP",
    Kind.SCANNER: "scan",
    Kind.EARLY_TALKER: "talks before its turn",
    Kind.BAD_SEQUENCE: "commands out of order",
    Kind.LIMIT: "too many connections or messages",
    Kind.OTHER: "other refusals",
}


def comment(facts: Facts, ports: Sequence[int]) -> str:
    """The comment, at most 1024 characters of ASCII."""
    said = "; ".join(dict.fromkeys(map(_part, facts.parts)))
    return f"{_service(ports)}: {said}"[:LONGEST]


def _service(ports: Sequence[int]) -> str:
    if not ports:
        return "Mail server"
    return f"Mail server, TCP port{'s' if len(ports) > 1 else ''} {', '.join(map(str, ports))}"


def _part(part: Part) -> str:
    text = f"{part.rejections} refused request{'s' if part.rejections != 1 else ''}"
    text += f" within {part.within}"
    kinds = sorted(part.kinds.items(), key=lambda item: (-item[1], item[0]))
    if not kinds:
        return text
    # What was counted on other hosts too has a sum that is not ours to split up.
    whole = sum(part.kinds.values()) == part.rejections and len(kinds) > 1
    named = [f"{count} {WORDS[kind]}" if whole else WORDS[kind] for kind, count in kinds]
    return f"{text} ({', '.join(named)})"


def timestamp(time: float) -> str:
    """ISO 8601 with its zone, in seconds."""
    return datetime.fromtimestamp(int(time), UTC).isoformat()
