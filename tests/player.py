"""Plays dialogues that are written down as in tests/conversations; its README is the grammar."""

import re
import tomllib

ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})(?:\*(\d+))?|(r|n))")


def raw(text):
    """What `text` stands for, in bytes."""
    parts, at = [], 0
    for found in ESCAPE.finditer(text):
        parts.append(text[at : found.start()].encode())
        octet = {"r": b"\r", "n": b"\n"}.get(found[3]) or bytes.fromhex(found[1])
        parts.append(octet * int(found[2] or 1))
        at = found.end()
    return b"".join(parts) + text[at:].encode()


def read(path):
    """The settings, and the steps as (line number, mark, text)."""
    settings, steps = [], []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        mark, text = line[:2].strip(), line[3:]
        if mark == ">":
            settings.append(line[2:])
        elif mark and mark != "#":
            steps.append((number, mark, text))
    return tomllib.loads("\n".join(settings)), steps


def expected(text, place):
    """An S: line as an expression."""
    wanted = re.escape(text.format(id="\0", **place)).replace("\0", "[0-9a-f]{32}")
    return re.sub(r"(\\\.){3}$", ".*", wanted) + "\r\n"


def play(steps, client):
    """Plays the steps; a reply that is not as it should be names its line."""
    place = dict(zip(("ip", "port"), client.socket.getsockname()[:2], strict=True))
    for number, mark, text in steps:
        if mark in ("C:", "C+"):
            client.send(raw(text) + (b"\r\n" if mark == "C:" else b""))
        elif mark == "S:":
            said = client.file.readline().decode()
            assert re.fullmatch(expected(text, place), said), f"line {number}: {said!r}"
        elif mark == "T":
            client.secure()
        elif mark == "!":
            assert client.rest() == b"", f"line {number}"


def rejections(steps):
    """The records that the R: lines want: code, command and kind."""
    for _, mark, text in steps:
        if mark == "R:":
            code, _, rest = text.partition(" ")
            command, _, kind = rest.rpartition(" ")
            yield int(code), None if command == "-" else raw(command).decode(), kind
