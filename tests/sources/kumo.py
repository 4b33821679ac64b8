"""Writes logs as KumoMTA does, for tests: zstd without a flush per record, read-only when closed.

As a program: `python kumo.py FOLDER FIRST LAST PER_SEGMENT` writes numbered Rejections until it is
killed or done, beginning with marking all old segments read-only, as KumoMTA's start-up does.
"""

import json
import sys
import time
from pathlib import Path

import zstandard

AT = 1_700_000_000


def rejection(number: int, **more: object) -> bytes:
    """A Rejection, told by its timestamp, of one of 250 addresses."""
    return line("Rejection", number, **more)


def line(kind: str, number: int, **more: object) -> bytes:
    """A record of any type as a line of the log."""
    record = {
        "type": kind,
        "id": "",
        "sender": "",
        "recipient": "",
        "queue": "",
        "site": "",
        "size": 0,
        "response": {
            "code": 550,
            "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
            "content": f"relaying not permitted for 192.0.2.1:{number % 60000 + 1024}",
            "command": "RCPT TO:<a@example.net>",
        },
        "peer_address": {"name": "user", "addr": f"192.0.2.{number % 250 + 1}"},
        "timestamp": AT + number,
        "meta": {},
        "session_id": f"{number:032x}",
        **more,
    }
    return json.dumps(record).encode() + b"\n"


class Kumo:
    """The logger of one process in `folder`."""

    def __init__(self, folder: Path, suffix: str = "") -> None:
        self.folder, self.suffix = folder, suffix
        self.file = self.stream = None
        self.segments = 0
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():
            if old.is_file() and not old.name.startswith("."):
                old.chmod(0o444)

    def write(self, data: bytes) -> None:
        """Hands records to the compressor, which keeps them until it has a block."""
        if self.stream is None:
            self.segments += 1
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
            name = f"{stamp}.{time.time_ns() % 10**9:09}{self.suffix}"
            self.file = (self.folder / name).open("xb")
            self.stream = zstandard.ZstdCompressor().stream_writer(self.file, closefd=False)
        self.stream.write(data)

    def flush(self) -> None:
        """What KumoMTA never does, for tests that want to see half a frame at a given place."""
        self.stream.flush(zstandard.FLUSH_BLOCK)
        self.file.flush()

    def close(self) -> Path | None:
        """Ends the segment: the frame, then the mode."""
        if self.stream is None:
            return None
        path = Path(self.file.name)
        self.stream.flush(zstandard.FLUSH_FRAME)
        self.file.close()
        path.chmod(0o444)
        self.file = self.stream = None
        return path

    def crash(self) -> None:
        """Goes away without ending anything."""
        self.file.close()
        self.file = self.stream = None


def readable(path: Path) -> list[dict]:
    """The whole records in a segment, ended or not, by an independent reading."""
    found = b""
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    try:
        found = unpacker.decompress(path.read_bytes())
    except zstandard.ZstdError:
        return []
    return [json.loads(text) for text in found.split(b"\n")[:-1]]


def main() -> None:
    """The writer process."""
    folder, first, last, each = sys.argv[1], *map(int, sys.argv[2:5])
    kumo = Kumo(Path(folder))
    for number in range(first, last):
        kumo.write(rejection(number))
        if number % each == each - 1:
            kumo.close()
            print(number, flush=True)
    kumo.close()


if __name__ == "__main__":
    main()
