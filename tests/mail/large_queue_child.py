"""Starts delivery of a large spool; run by test_large_queue.py.

Arguments: folder, port of the next hop. Prints JSON once every message was looked at: seconds to
the first that was handed over, seconds until all were read once, and how many MiB it has grown by.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from next_hops import until
from office import Office, to


def size() -> float:
    """This process in memory, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def main() -> None:
    """Delivers for a moment."""
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    office, before, begin = Office(folder), size(), time.monotonic()
    async with office.delivering({"default": to(port, connections=2)}) as runner:
        await until(lambda: office.records, 60)
        first = time.monotonic() - begin
        # Everything has been read once, and is parked or under way.
        await until(lambda: not runner._agenda._due, 120)
        print(
            json.dumps({"first": first, "all": time.monotonic() - begin, "grown": size() - before})
        )


if __name__ == "__main__":
    asyncio.run(main())
