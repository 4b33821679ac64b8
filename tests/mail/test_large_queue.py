"""A large spool starts within seconds and takes little memory.

100,000 messages with GUARD_SOAK set (`make soak`); otherwise some thousands.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import msgspec
from next_hops import Hop
from office import Office

from guard.mail.spool import Envelope, new_id

MESSAGES = 100_000 if os.environ.get("GUARD_SOAK") else 5_000
CHILD = Path(__file__).with_name("large_queue_child.py")


def run(folder: Path) -> tuple[dict[str, float], Hop]:
    """Delivers the spool in `folder` for a moment, in a process of its own."""

    async def main() -> tuple[dict[str, float], Hop]:
        async with Hop(extensions=["8BITMIME"], delay=0.05) as hop:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(CHILD), str(folder), str(hop.port)),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
        return json.loads(out), hop

    return asyncio.run(main())


def fill(new: Path) -> None:
    """Messages as a listener would have left them, without its syncs."""
    now = time.time()
    for number in range(MESSAGES):
        id_ = new_id(now - 1000 + number / 1000)
        to = [f"{number}@domain{number % 1000}.test"]
        line = msgspec.json.encode(Envelope(id_, "a@b.test", to, {}, now - 1000))
        (new / id_).write_bytes(line + b"\nSubject: x\r\n\r\nhello\r\n")


def test_a_large_message_takes_little_memory(tmp_path: Path):
    """It goes from the disk to the wire in pieces."""
    folder = tmp_path / "spool"
    office = Office(folder)
    office.mail(
        body=b"Subject: x\r\n\r\n" + b"a line of forty characters and some more\r\n" * 2**20
    )
    found, hop = run(folder)
    assert sum(len(message.data) for message in hop.messages) > 40 * 2**20
    assert found["grown"] < 40


def test_a_large_spool_starts_at_once(tmp_path: Path):
    """The first message goes within seconds; what waits costs a few hundred bytes each."""
    new = tmp_path / "spool" / "new"
    new.mkdir(parents=True)
    fill(new)
    found, _ = run(tmp_path / "spool")
    print(MESSAGES, found)
    assert found["first"] < 10
    assert found["grown"] < 50 + MESSAGES * 800 / 2**20
    # Nothing was lost on the way: what was not delivered is there.
    assert len(list(new.iterdir())) > MESSAGES * 0.5
