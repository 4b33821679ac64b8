"""The real fail2ban on KumoMTA's records: what filter.d/kumomta.conf finds, mode by mode."""

import json
import subprocess
from pathlib import Path

from guard.events import Kind
from guard.lib.conftags import Definition, find_definition

PROJECT = Path(__file__).parent.parent
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_engine.py"
MODES = ("relay", "auth", "protocol", "scanner", "aggressive", "normal", "all")


def found(mode: str, lines: list[str], name: str = "kumomta") -> list[list[tuple[str, float]]]:
    """The (address, time) pairs that fail2ban finds in each line."""
    asked = {
        "base": str(PROJECT),
        "filter": name,
        "options": {"mode": mode} if mode else {},
        "lines": lines,
    }
    run = subprocess.run(
        ["/usr/bin/python3", str(ORACLE)],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    answer = json.loads(run.stdout)
    assert answer["slowest"] < 1.0
    return [[(match[0], match[1]) for match in matches] for matches in answer["found"]]


def kinds(mode: str) -> set[Kind]:
    """The kinds that Guard counts in this mode."""
    conf = find_definition("kumomta", (PROJECT / "filter.d",))
    assert conf is not None
    words = Definition(conf, {"mode": mode}).get("kinds")
    assert words
    return {Kind(word) for word in words.split()}


def record(
    code: int,
    enhanced: str,
    content: str,
    command: str | None,
    name: str = "client",
    addr: str = "192.0.2.1",
    **more: object,
) -> str:
    """A Rejection as KumoMTA writes it."""
    digits = [int(digit) for digit in enhanced.split(".") if digit]
    return json.dumps(
        {
            "type": "Rejection", "id": "", "sender": "", "recipient": "", "queue": "", "site": "",
            "size": 0,
            "response": {
                "code": code,
                "enhanced_code": dict(zip(("class", "subject", "detail"), digits, strict=True))
                if digits
                else None,
                "content": content,
                "command": command,
            },
            "peer_address": {"name": name, "addr": addr},
            "timestamp": 1757675281, "event_time": "2025-09-12T11:08:01.440526026Z",
            "created": 1757675281, "num_attempts": 0, "bounce_classification": "Uncategorized",
            "egress_pool": None, "feedback_report": None, "meta": {}, "headers": {},
            "nodeid": "dd2b41fd-78f0-4105-8cd9-01ac7114cada",
            "session_id": "9bcd689e-23d9-41b7-a015-63a1382f8b57",
        } | more,
        separators=(",", ":"),
        ensure_ascii=False,
    )  # fmt: skip


PEST = (
    "Syntax error in command or arguments:  --> 1:1   |  1 | {}   | ^---   |    = expected "
    "mail, rcpt, ehlo, helo, data, rset, quit, vrfy, expn, help, noop, starttls, or auth"
)
NOM = (
    "Syntax error in command or arguments: Error at line 1, in Eof: {} ^^^  "
    "while parsing unknown-command while parsing command-verb"
)
