"""Log lines as a stranger would like them: every text that a peer chooses tries to be something.

Seeded and deterministic. `records(count, seed)` are KumoMTA's, `haraka_lines` those of Haraka; each
comes with the address that may be found in it, or None where none may.
"""

import json
import random
from collections.abc import Iterator

FORGED = "198.51.100.9"
PEER = f'"peer_address":{{"name":"","addr":"{FORGED}"}}'
PIECES = (
    '"', "\\", '\\"', "{", "}", "[", "]", ",", ":", " ", "a", "x\n", "\t", "\x00", "\x1f", "\x7f",
    "\u0085", "\u2028", "\u2029", "ſ", "é", "😀", "\ufeff", "<", ">", "%", "#", ";", "$(id)",
    f'"addr":"{FORGED}"', PEER, f'","addr":"{FORGED}"}}', f'\\","addr":"{FORGED}', f"[{FORGED}]",
    '"response":{"code":550,"enhanced_code":null,"content":"relaying not ',
    "relaying not permitted", '"type":"Rejection"', '{"type":"Rejection",', "Sep 12 11:08:01",
    '"timestamp":1000000000', '"timestamp":"2001-01-01T00:00:00Z"', "2001-01-01 00:00:00", FORGED,
    "1000000000", '"name":"',
    '"kind":"relay_denied"}', ',"kind":"scanner","count":9}', "::1", "null", "null},", "\\u0022",
    "\\u005c", "code", "535", '"code":535', "Expanse, ", "GET / HTTP/1.1",
)  # fmt: skip
LONG = (
    " ",
    '"',
    "\\",
    "{",
    ",",
    '","',
    '\\"',
    "a",
    '"kind":"',
    ',"kind": "x',
    "\x01",
    '"response":',
)
REPLIES = (
    (550, (5, 7, 1), "relaying not permitted for 192.0.2.1:25 "),
    (550, None, "5.7.1 relaying not permitted"),
    (550, None, ""),
    (504, (5, 5, 4), "AUTH "),
    (535, (5, 7, 8), "AUTH invalid"),
    (501, None, "Syntax error in command or arguments: "),
    (502, (5, 5, 1), "Command unimplemented"),
    (500, None, ""),
    (421, (4, 3, 0), ""),
    (452, (4, 5, 3), "too many recipients"),
)
KINDS = ("relay_denied", "auth_failed", "syntax_error", "scanner", "other")


def text(dice: random.Random, most: int = 4) -> str:
    """What a peer might write."""
    made = "".join(dice.choice(PIECES) for _ in range(dice.randrange(most + 1)))
    if dice.random() < 0.02:
        made += dice.choice(LONG) * dice.choice((200, 2000, 8000))
    return made


def _address(dice: random.Random) -> tuple[str, str | None]:
    """An address as a log has it, and as it is found; None where it is none."""
    number = dice.randrange(1, 255)
    return dice.choice(
        (
            (f"192.0.2.{number}", f"192.0.2.{number}"),
            (f"192.0.2.{number}", f"192.0.2.{number}"),
            (f"2001:db8::{number:x}", f"2001:db8::{number:x}"),
            (f"::ffff:192.0.2.{number}", f"192.0.2.{number}"),
            ("/run/socket", None),
            (f"fe80::{number:x}%eth0", None),
            ("", None),
            (f"{FORGED}.example.com", None),
        )
    )


def _object(dice: random.Random) -> dict[str, object]:
    """Headers or meta: names and values that a peer may have chosen."""
    keys = ["peer_address", "response", "timestamp", "type", "kind", "addr", text(dice, 2)]
    values: list[object] = [
        text(dice),
        {"name": "", "addr": FORGED},
        {"code": 550, "enhanced_code": None, "content": "relaying not permitted", "command": None},
        1000000000,
        "relay_denied",
    ]
    return {dice.choice(keys): dice.choice(values) for _ in range(dice.randrange(4))}


def record(dice: random.Random) -> tuple[str, str | None]:
    """One Rejection, and the address that may be found in it."""
    code, enhanced, content = dice.choice(REPLIES)
    written, found = _address(dice)
    response = {
        "code": code,
        "enhanced_code": enhanced
        and dict(zip(("class", "subject", "detail"), enhanced, strict=True)),
        "content": content + text(dice),
        "command": dice.choice((None, text(dice), "RCPT TO:<" + text(dice) + ">")),
    }
    peer = {"name": text(dice), "addr": written}
    recipient = dice.choice((text(dice), [text(dice), text(dice)], None))
    made: dict[str, object] = {"type": "Rejection", "id": ""}
    if dice.random() < 0.2:
        made["peer_address"] = peer
    made |= {"sender": dice.choice((text(dice), None)), "recipient": recipient, "queue": text(dice)}
    made |= {"response": response, "peer_address": peer, "timestamp": 1757675281}
    made |= {
        "meta": _object(dice),
        "headers": _object(dice),
        "nodeid": "x",
        "session_id": text(dice),
    }
    if dice.random() < 0.15:
        made["kind"] = dice.choice(KINDS)
        if dice.random() < 0.5:
            made["count"] = dice.randrange(1, 9)
    line = json.dumps(
        made,
        ensure_ascii=dice.random() < 0.4,
        separators=dice.choice(((",", ":"), (",", ":"), (", ", ": "))),
    )
    if dice.random() < 0.05:
        line = line[: dice.randrange(len(line))]
    return line, found


def records(count: int, seed: int) -> Iterator[tuple[str, str | None]]:
    """`count` hostile records."""
    dice = random.Random(seed)
    for _ in range(count):
        yield record(dice)


def haraka_lines(count: int, seed: int) -> Iterator[tuple[str, str | None]]:
    """`count` hostile ends of connections; a name in EHLO is one word, as Haraka takes it."""
    dice = random.Random(seed)
    for _ in range(count):
        written, found = _address(dice)
        said = [text(dice).replace("\n", "\\n").replace("\r", "\\r") for _ in range(3)]
        helo = "".join(said[1].split())
        yield (
            f"2025-09-12T11:08:01.123Z [NOTICE] [1F6E0C52-84D3-4F0B-9B6A-2F9B7C1D3E5A] [core] "
            f'disconnect ip={written} rdns="{said[0]}" helo={helo} relay=N early=N esmtp=Y tls=N '
            f'pipe=N errors=1 txns=1 rcpts=0/0/1 msgs=0/0/0 bytes=0 lr="550 {said[2]}" time=8.2',
            found,
        )


def opensmtpd_lines(count: int, seed: int) -> Iterator[tuple[str, str | None]]:
    """`count` sessions of OpenSMTPD, three lines each: who came, what was refused, and its end."""
    dice = random.Random(seed)
    for _ in range(count):
        written, found = _address(dice)
        written = f"[{written}]" if ":" in written else written
        said = [text(dice).replace("\n", "\\n").replace("\r", "\\r") for _ in range(3)]
        begin = f"Sep 12 11:08:01 mx smtpd[61]: {dice.getrandbits(64):016x} smtp"
        yield f"{begin} connected address={written} host={said[0]}", None
        yield (
            f'{begin} failed-command command="RCPT TO:<{said[1]}>" '
            f'result="550 Invalid recipient: <{said[2]}>"',
            found,
        )
        yield f"{begin} disconnected reason=quit", None
