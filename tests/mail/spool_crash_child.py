"""Receives messages into a spool and dies at one step of the last; run by test_spool.py.

Arguments: folder, name of the step ("" is never), how many messages. Prints each id that was
committed, as a listener would answer 250, and nothing else.
"""

import os
import sys
from pathlib import Path

from guard.mail.spool import FileSpool


def body(number: int) -> bytes:
    """The message with this number; larger than one buffer."""
    return b"Subject: %d\r\n\r\n" % number + b"%06d\r\n" % number * 20_000


def main() -> None:
    """Receives, and dies without saying goodbye where it was told to."""
    folder, fatal, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    number = 0

    def step(name: str) -> None:
        if name == fatal and number == count - 1:
            os._exit(9)

    spool = FileSpool(folder, step=step)
    spool.open()
    for number in range(count):
        message = spool.create(f"s{number}@example.com", ["r@example.net"], {"number": str(number)})
        data = body(number)
        message.write(data[: len(data) // 2])
        step("half written")
        message.write(data[len(data) // 2 :])
        step("written")
        print(message.commit(), flush=True)


if __name__ == "__main__":
    main()
