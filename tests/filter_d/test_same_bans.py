"""The real fail2ban and Guard ban the same addresses, jail by jail, on the same log."""

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent.parent
JAILS = ("relay", "auth", "protocol", "scanner", "slow")
EXPANSE = "Expanse, a Palo Alto Networks company, searches across the global IPv4 space"
REPLIES = {
    "relay": [
        (550, (5, 7, 1), "relaying not permitted for {}:50312", "RCPT TO:<a@b.example>"),
        (550, (5, 7, 1), "relaying not permitted", "DATA"),
    ],
    "auth": [
        (504, (5, 5, 4), "AUTH NTLM not supported", "AUTH NTLM"),
        (535, (5, 7, 8), "AUTH invalid", "AGpvZQB4"),
    ],
    "protocol": [
        (502, (5, 5, 1), "Command unimplemented", "VRFY root"),
        (501, None, "Syntax error in command or arguments", "MAIL garbage"),
        (503, (5, 5, 0), "MAIL FROM must be issued first", "DATA"),
    ],
    "scanner": [
        (502, (5, 5, 1), "Command unimplemented", "GET / HTTP/1.1"),
        (501, None, "Syntax error in command or arguments", f"User-Agent: {EXPANSE}"),
    ],
    "other": [
        (452, (4, 5, 3), "too many recipients", "RCPT TO:<a@b.example>"),
        (552, (5, 3, 4), "message too big", "DATA"),
    ],
}
MAXRETRY = {"relay": 5, "auth": 10, "protocol": 10, "scanner": 1, "other": 5}
NAMES = [
    "client",
    "",
    'say "addr":"9.9.9.9"',
    "\\",
    'x","addr":"9.9.9.9"}',
    "\u2028line",
    "9.9.9.9",
]
SENTINEL = "45.141.84.250"


def record(when: float, address: str, sort: str, dice: random.Random) -> str:
    """A Rejection of this sort, as KumoMTA writes it."""
    code, enhanced, content, command = dice.choice(REPLIES[sort])
    return json.dumps(
        {
            "type": "Rejection", "id": "", "sender": "", "recipient": "", "queue": "", "site": "",
            "size": 0,
            "response": {
                "code": code,
                "enhanced_code": enhanced
                and dict(zip(("class", "subject", "detail"), enhanced, strict=True)),
                "content": content.format(address),
                "command": command,
            },
            "peer_address": {"name": dice.choice(NAMES), "addr": address},
            "timestamp": int(when), "created": int(when), "num_attempts": 0, "meta": {},
            "headers": {}, "nodeid": "dd2b41fd-78f0-4105-8cd9-01ac7114cada",
        },
        separators=(",", ":"),
        ensure_ascii=dice.random() < 0.5,
    )  # fmt: skip


def made_log(now: float, seed: int) -> list[str]:
    """Nine minutes of refusals: every address short of a threshold, at it, or over it."""
    dice = random.Random(seed)
    events: list[tuple[float, str, str]] = []
    for number in range(70):
        address = f"45.141.{number}.{dice.randrange(1, 250)}"
        if number % 7 == 0:
            address = f"2a0e:97c0:{number:x}::{dice.randrange(1, 9999):x}"
        elif number % 11 == 0:
            address = f"::ffff:{address}"
        for sort in dice.sample(sorted(REPLIES), dice.choice((1, 1, 2))):
            count = max(1, MAXRETRY[sort] + dice.choice((-3, -1, -1, 0, 0, 1, 4)))
            if sort == "scanner" and dice.random() < 0.5:
                continue
            begin = now - 540
            events += [(begin + dice.random() * 500, address, sort) for _ in range(count)]
    lines = []
    for when, address, sort in sorted(events):
        lines.append(record(when, address, sort, dice))
        if dice.random() < 0.2:
            lines.append(dice.choice(['{"type":"Reception","timestamp":1}', "junk", "", "{" * 50]))
    for sort in ("relay", "auth", "protocol", "scanner"):
        for _ in range(MAXRETRY[sort]):
            lines.append(record(now - 20, SENTINEL, sort, dice))  # noqa: PERF401
    return lines


def guards(folder: Path, log: Path) -> dict[str, set[str]]:
    """Whom `guard replay` bans in each jail."""
    config = folder / "guard.toml"
    config.write_text(
        f'[state]\ndir = "{folder / "state"}"\n'
        f'[jails]\npath = ["{PROJECT / "jail.d"}"]\nfilters = ["{PROJECT / "filter.d"}"]\n'
    )
    run = subprocess.run(
        [sys.executable, "-m", "guard", "replay", "-c", str(config), "--json", str(log)],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    banned: dict[str, set[str]] = {f"kumomta-{jail}": set() for jail in JAILS}
    for line in run.stdout.splitlines():
        ban = json.loads(line)
        banned[ban["jail"]].add(ban["address"])
    return banned


class Fail2ban:
    """A fail2ban of this test alone: everything it writes is in `folder`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.bans = folder / "bans"
        self.log = folder / "fail2ban.log"
        self.bans.touch()
        for name in ("jail.d", "filter.d", "action.d", "run"):
            (folder / name).mkdir()
        for path in (PROJECT / "jail.d" / "kumomta.conf", PROJECT / "filter.d" / "kumomta.conf"):
            (folder / path.parent.name / path.name).write_bytes(path.read_bytes())
        run = folder / "run"
        (folder / "fail2ban.conf").write_text(
            f"[Definition]\nloglevel = NOTICE\nlogtarget = {self.log}\nsyslogsocket = auto\n"
            f"socket = {run}/sock\npidfile = {run}/pid\ndbfile = {run}/db\ndbpurgeage = 1d\n"
            "dbmaxmatches = 0\n[Thread]\n"
        )
        (folder / "jail.conf").write_text("[DEFAULT]\nbackend = polling\n")
        (folder / "jail.d" / "kumomta.local").write_text(
            "".join(
                f"[kumomta-{jail}]\nenabled = true\nbackend = polling\nlogpath = {log}\n"
                f"action = note[jail=kumomta-{jail}]\n"
                for jail in JAILS
            )
        )
        (folder / "action.d" / "note.conf").write_text(
            f"[Definition]\nactionban = echo <jail> <ip> >> {self.bans}\nactionunban =\n"
            "actionstart =\nactionstop =\nactioncheck =\n"
        )
        self.process = subprocess.Popen(
            ["fail2ban-server", "-f", "-c", str(folder), "-s", f"{run}/sock", "-p", f"{run}/pid"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def banned(self) -> dict[str, set[str]]:
        """Whom it has banned so far in each jail."""
        found: dict[str, set[str]] = {f"kumomta-{jail}": set() for jail in JAILS}
        for line in self.bans.read_text().splitlines():
            jail, address = line.split()
            found[jail].add(address)
        return found

    def finished(self) -> dict[str, set[str]]:
        """The same once every jail has come to the end of the log."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            found = self.banned()
            if all(SENTINEL in addresses for addresses in found.values()):
                return found
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        raise AssertionError(f"fail2ban did not finish: {self.banned()}\n{self.log.read_text()}")

    def close(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait(30)


def by_64(address: str) -> str:
    """An address as Guard counts it: fail2ban bans single IPv6 addresses, Guard the /64."""
    from guard.lib.networks import parse_address

    network = parse_address(address)
    return str(network if network.version == 4 else network.supernet(64))


@pytest.mark.fail2ban
@pytest.mark.parametrize("seed", [1, 2])
def test_fail2ban_and_guard_ban_the_same(tmp_path, seed):
    """Five jails, seventy addresses just below, at and above every threshold."""
    log = tmp_path / "rejections.jsonl"
    lines = made_log(time.time(), seed)
    log.write_text("\n".join(lines) + "\n", encoding="utf-8")
    fail2ban = Fail2ban(tmp_path, log)
    try:
        theirs = fail2ban.finished()
    finally:
        fail2ban.close()
    ours = guards(tmp_path, log)
    assert {jail: {by_64(a) for a in found} for jail, found in theirs.items()} == ours
    for jail, found in ours.items():
        assert 2 < len(found) < 60, jail
    assert not any("9.9.9.9" in found for found in ours.values())
