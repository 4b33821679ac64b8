"""Fills a small file system of its own through a spool; run by test_spool.py under unshare -m.

Prints what happened, one word a line.
"""

import subprocess
import sys
from pathlib import Path

from guard.mail.spool import FileSpool
from guard.roles import Refused, Unavailable


def main() -> None:
    """Mounts, fills, empties, and makes it read-only."""
    folder = Path(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=True)
    spool = FileSpool(folder / "spool")
    spool.open()
    first = spool.create("a@example.com", ["b@example.net"], {})
    first.write(b"kept\r\n")
    first.commit()
    big = spool.create("a@example.com", ["b@example.net"], {})
    try:
        for _ in range(100):
            big.write(b"x" * 65536)
        big.commit()
        print("took-everything")
    except Unavailable as error:
        print("full" if "No space left" in str(error) else error)
    try:
        big.commit()
        print("committed-a-torn-message")
    except Unavailable:
        print("given-up")
    print("tmp", len(list(spool.tmp.iterdir())), "new", len(list(spool.new.iterdir())))
    again = spool.create("a@example.com", ["b@example.net"], {})
    again.commit()
    print("works-again")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    try:
        spool.create("a@example.com", ["b@example.net"], {})
    except Unavailable as error:
        print("unavailable" if "Read-only" in str(error) else error)
    try:
        FileSpool(folder / "spool").open()
    except Refused as error:
        print("refused" if "Read-only" in str(error) else error)


if __name__ == "__main__":
    main()
