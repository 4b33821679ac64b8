"""Runs a program of this machine, once in a long while: nft at start, never for a ban.

Arguments are a list and input is piped; there is no shell. What the program says goes to the
operator on one line, so it is escaped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from guard.lib.logs import printable
from guard.roles import Refused, Unavailable

# Debian keeps these programs where an ordinary user's PATH does not look.
_PATH = f"{os.defpath}:/usr/local/sbin:/usr/sbin:/sbin"
_SECONDS = 120


def find(program: str) -> str | None:
    """Where `program` is, or None."""
    return shutil.which(program) or shutil.which(program, path=_PATH)


def run(arguments: Sequence[str], given: str = "", *, package: str = "") -> str:
    """What the program prints. Raises Refused when it is missing or fails, Unavailable when slow.

    `package` is what the operator installs when it is missing.
    """
    program = find(arguments[0])
    if program is None:
        hint = f"; install the package {package}" if package else ""
        raise Refused(f"the program {arguments[0]} is not on this machine{hint}")
    try:
        done = subprocess.run(
            [program, *arguments[1:]],
            input=given.encode(),
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{arguments[0]} does not end within {_SECONDS} s") from error
    if done.returncode:
        said = " ".join(done.stderr.decode(errors="replace").split())[:500]
        words = " ".join(arguments[:4])
        raise Refused(printable(f"{words} failed ({done.returncode}): {said}"))
    return done.stdout.decode(errors="replace")
