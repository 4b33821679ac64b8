"""The writers of benchmarks/once.py: numbered rejections, by each way in. Made to be killed.

A writer that starts goes on after what was written for certain. What a killed one had not handed
over (zstd without a flush, as KumoMTA) was never written, and is not expected to be counted.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import zstandard

AT = 1_700_000_000
PIECE = 250
_LINE = re.compile(rb"^(\d+) refused \S+ number \d+$", re.MULTILINE)
WAYS = ("log", "kumomta-log", "webhook", "stream")


def address_of(number: int) -> str:
    """The address of a record, one of 100,000 in 11.0.0.0/8, where nobody is protected.

    Ten records in a row are of one address, and of every seventh only three.
    """
    index = (
        number // 10 + 1 if number // 10 % 7 == 0 and number % 10 > 2 else number // 10
    ) % 100_000
    return f"11.{index >> 16}.{index >> 8 & 255}.{index & 255}"


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def record(number: int) -> bytes:
    """A log record, told by its time."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(AT + number))
    return json.dumps(
        {
            "type": "Rejection",
            "response": {"code": 550, "content": f"relaying not permitted for x:{number}"},
            "peer_address": {"name": "user", "addr": address_of(number)},
            "timestamp": AT + number,
            "event_time": f"{stamp}.000000000Z",
            "session_id": f"{number:032x}",
        }
    ).encode()


def line(number: int) -> bytes:
    """A line of a text log."""
    return f"{AT + number} refused {address_of(number)} number {number}\n".encode()


class LogWriter:
    """A text log that is rotated by name every second, as logrotate does."""

    def __init__(self, home: Path, url: str | None) -> None:
        del url
        self._path = home / "log" / "numbers.log"
        self._rotated = time.monotonic()
        self._open()

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        size = os.fstat(self._file).st_size
        if size and self._path.read_bytes()[-1:] != b"\n":
            os.write(self._file, b"\n")  # what a killed one left

    def write(self, numbers: Iterable[int]) -> None:
        """Writes them in one go."""
        os.write(self._file, b"".join(map(line, numbers)))
        if time.monotonic() > self._rotated + 1:
            self._rotate()

    def _rotate(self) -> None:
        old = sorted(self._path.parent.glob("numbers.log.*"), key=lambda p: -int(p.suffix[1:]))
        for path in old:
            path.rename(path.with_suffix(f".{int(path.suffix[1:]) + 1}"))
        self._path.rename(self._path.with_suffix(".log.1"))
        os.close(self._file)
        self._open()
        self._rotated = time.monotonic()

    def close(self) -> None:
        """The end."""
        os.close(self._file)


class KumoWriter:
    """A log directory: zstd without a flush, a new segment every second, read-only when closed."""

    def __init__(self, home: Path, url: str | None) -> None:
        del url
        self._folder = home / "log"
        for old in self._folder.iterdir():
            old.chmod(0o444)
        self._begin()

    def _begin(self) -> None:
        now = time.time_ns()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now // 10**9))
        self._path = self._folder / f"{stamp}.{now % 10**9:09}"
        self._file = self._path.open("xb")
        self._packed = zstandard.ZstdCompressor().stream_writer(self._file, closefd=False)
        self._since = time.monotonic()

    def write(self, numbers: Iterable[int]) -> None:
        """Hands them to the compressor."""
        self._packed.write(b"".join(record(number) + b"\n" for number in numbers))
        if time.monotonic() > self._since + 1:
            self.close()
            self._begin()

    def close(self) -> None:
        """Ends the frame, then the file."""
        self._packed.flush(zstandard.FLUSH_FRAME)
        self._file.close()
        self._path.chmod(0o444)


class HookWriter:
    """One who POSTs, and does so again until he is answered."""

    def __init__(self, home: Path, url: str | None) -> None:
        del url
        self._socket = str(home / "hook.sock")
        self._connection: http.client.HTTPConnection | None = None

    def write(self, numbers: Iterable[int]) -> None:
        """Returns when the answer was 200."""
        body = b"\n".join(map(record, numbers))
        while not self._posted(body):
            time.sleep(0.05)

    def _posted(self, body: bytes) -> bool:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("localhost", timeout=10)
                self._connection.sock = socket.socket(socket.AF_UNIX)
                self._connection.sock.settimeout(10)
                self._connection.sock.connect(self._socket)
            self._connection.request("POST", "/", body)
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        return answer.status == 200

    def close(self) -> None:
        """Hangs up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class StreamWriter:
    """A producer that keeps its own number in Redis, in one transaction with what it adds."""

    def __init__(self, home: Path, url: str | None) -> None:
        import redis

        del home
        assert url is not None
        self._client: Any = redis.Redis.from_url(url)
        self._errors = redis.RedisError

    def write(self, numbers: Iterable[int]) -> None:
        """Returns when Redis has them."""
        wanted = list(numbers)
        while wanted:
            try:
                done = int(self._client.get("written") or 0)
                wanted = [number for number in wanted if number >= done]
                if wanted:
                    self._add(wanted)
            except self._errors:
                time.sleep(0.05)

    def _add(self, wanted: list[int]) -> None:
        pipe = self._client.pipeline(transaction=True)
        for number in wanted:
            pipe.xadd("guard:rejections", {"record": record(number)})
        pipe.set("written", wanted[-1] + 1)
        pipe.execute()

    def close(self) -> None:
        """Hangs up."""
        self._client.close()


WRITERS: dict[str, Callable[[Path, str | None], Any]] = {
    "log": LogWriter,
    "kumomta-log": KumoWriter,
    "webhook": HookWriter,
    "stream": StreamWriter,
}


def written(way: str, home: Path) -> list[int]:
    """The numbers of what was written, by an independent reading."""
    if way == "log":
        text = b"".join(path.read_bytes() for path in (home / "log").iterdir())
        return [int(time) - AT for time in _LINE.findall(text)]
    if way == "kumomta-log":
        return [n for path in sorted((home / "log").iterdir()) for n in _readable(path)]
    return list(range(int((home / "written").read_text())))


def _readable(path: Path) -> list[int]:
    """The numbers of the whole records of a segment."""
    data = zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())
    *lines, last = data.split(b"\n")
    if last.endswith(b"}"):  # all of a record but its line end
        lines.append(last)
    return [json.loads(text)["timestamp"] - AT for text in lines]


def main() -> int:
    """The writing process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--url")
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True)
    chosen = parser.parse_args()
    place = chosen.home / "written"
    first = at = int(place.read_text() or 0) if place.exists() else 0
    writer, begun = WRITERS[chosen.way](chosen.home, chosen.url), time.monotonic()
    while at < chosen.records:
        following = min(at + PIECE, chosen.records)
        writer.write(range(at, following))
        at = following
        beside = place.with_suffix(".new")
        beside.write_text(str(at))
        beside.replace(place)
        time.sleep(max(0.0, (at - first) / chosen.rate - (time.monotonic() - begun)))
    writer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
