"""Delivers a spool and dies at one step; run by test_delivery_crash.py.

Arguments: folder, port of the next hop, name of the step ("" is never), which time it counts.
Ends by itself when the spool is empty.
"""

import asyncio
import os
import sys
from pathlib import Path

from next_hops import until
from office import Office, to


async def main() -> None:
    """Delivers, and dies without saying goodbye where it was told to."""
    folder, port, fatal, count = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    office, seen = Office(folder), [0]

    def step(name: str) -> None:
        if name == fatal:
            seen[0] += 1
            if seen[0] == count:
                os._exit(9)

    # Two sites with one connection each, so that two messages at most are in flight.
    queues = {
        "default": to(port, connections=1),
        "second.test": to(port, connections=1, messages_per_connection=50),
    }
    async with office.delivering(queues, step=step):
        await until(lambda: office.empty, 30)


if __name__ == "__main__":
    asyncio.run(main())
