"""The process that delivers ends between any two steps: nothing is lost, nothing goes twice."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import pytest
from next_hops import Hop
from office import Office

from guard.mail.rfc3464 import parse

CHILD = Path(__file__).with_name("delivery_child.py")
SUBJECTS = [f"message {number}" for number in range(6)]


async def child(folder: Path, port: int, step: str, count: int) -> int:
    """One life of the process; its exit code."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(folder), str(port), step, str(count)
    )
    return await process.wait()


def copies(hop: Hop) -> Counter[tuple[str, str]]:
    """How often each message went to each recipient."""
    found: Counter[tuple[str, str]] = Counter()
    for message in hop.messages:
        if "<>" not in message.sender:
            subject = message.data.split(b"\r\n")[0].decode().removeprefix("Subject: ")
            found.update((subject, recipient) for recipient in message.recipients)
    return found


@pytest.mark.parametrize("step", ["answered", "interim", "bounce", "removed", "deferred"])
@pytest.mark.parametrize("count", [1, 4])
def test_death_at_any_step(tmp_path: Path, step: str, count: int):
    """Every recipient gets its copy, and one only, but for what was in flight; so do bounces."""
    office = Office(tmp_path / "spool")
    for subject in SUBJECTS:
        body = f"Subject: {subject}\r\n\r\nhello\r\n".encode()
        office.mail("ok@first.test", "no@first.test", "slow@second.test", body=body)
    once: set[str] = set()

    def slow(command: str) -> str:
        if len(once) < len(SUBJECTS):
            once.add(f"{len(once)}")
            return "450 4.2.0 later"
        return "250 ok"

    async def main() -> tuple[Hop, list[int]]:
        hop = Hop(answers={"RCPT TO:<NO": "550 5.1.1 no such user", "RCPT TO:<SLOW": slow})
        hop.slow, hop.delay = "RCPT TO:<SLOW", 0.05
        async with hop:
            codes = [await child(office.folder, hop.port, step, count)]
            codes.append(await child(office.folder, hop.port, "", 0))
        return hop, codes

    hop, codes = asyncio.run(main())
    assert codes == [9, 0], "it died there, and the next one finished the work"
    assert office.empty
    wanted = {(s, r) for s in SUBJECTS for r in ("ok@first.test", "slow@second.test")}
    found = copies(hop)
    assert found.keys() == wanted
    # What the next hop had taken and nobody had written down yet goes again (RFC 5321, 6.1): of
    # each of the two connections at most one message.
    assert sum(found.values()) - len(wanted) <= 2
    told = [m for m in hop.messages if "<>" in m.sender]
    reports = [parse(message.data) for message in told]
    assert all(report and len(report.per_recipient) == 1 for report in reports)
    ids = {m.data.split(b"Message-ID: ")[1].split(b"\r\n")[0] for m in told}
    assert len(ids) == len(SUBJECTS), "each sender was told, by one bounce"
