"""Compressed bytes into plain ones as they come: zstd (KumoMTA's segments), gzip, or as they are.

What a block holds is passed on in pieces, so that a small input which unpacks to gigabytes costs
time but not memory. A frame need not have ended: whatever can be read of it is passed on. Frames
and members may follow one another.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import IO, Protocol, cast

import zstandard

Take = Callable[[bytes], object]

HEAD = 4  # how many bytes tell the format
_ZSTD = b"\x28\xb5\x2f\xfd"  # RFC 8878, section 3.1.1
_GZIP = b"\x1f\x8b\x08"  # RFC 1952, section 2.3.1
_PIECE = 512 << 10
_WINDOW = 128 << 20  # the largest that zstd's own tool unpacks without being asked


class Damaged(ValueError):
    """The bytes are not of the format that they began in."""


class Unpacker(Protocol):
    """Passes what `block` unpacks to on to `take`. Raises Damaged after what was still good."""

    def feed(self, block: bytes, take: Take) -> None: ...


class Plain:
    """Bytes as they are."""

    def feed(self, block: bytes, take: Take) -> None:
        take(block)


class _Out:
    """What zstandard wants to write to."""

    def __init__(self, take: Take) -> None:
        self.take = take

    def write(self, piece: bytes) -> int:
        self.take(piece)
        return len(piece)


class Zstd:
    """A stream of zstd frames."""

    def __init__(self) -> None:
        self._out = _Out(len)
        unpacker = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
        self._in = unpacker.stream_writer(
            cast("IO[bytes]", self._out), write_size=_PIECE, closefd=False
        )

    def feed(self, block: bytes, take: Take) -> None:
        # zstandard stops when the input is taken, although a block (128 KiB at most) may not have
        # fitted into its output any more; one last byte by itself has room for that block and its
        # own, so that nothing stays inside until more input comes.
        self._out.take = take
        try:
            self._in.write(block[:-1])
            self._in.write(block[-1:])
        except zstandard.ZstdError as error:
            raise Damaged(f"zstd: {error}") from None


class Gzip:
    """A stream of gzip members."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    def feed(self, block: bytes, take: Take) -> None:
        try:
            piece = b""
            while block or len(piece) == _PIECE:
                piece = self._member.decompress(block, _PIECE)
                take(piece)
                block = self._member.unconsumed_tail
                if self._member.eof:
                    # Zeros after the last member are padding.
                    block = self._member.unused_data.lstrip(b"\0")
                    self._member = zlib.decompressobj(wbits=31)
        except zlib.error as error:
            raise Damaged(f"gzip: {error}") from None


def unpacker_for(head: bytes) -> Unpacker:
    """What unpacks a file that begins with `head`, its first four bytes."""
    if head.startswith(_ZSTD):
        return Zstd()
    return Gzip() if head.startswith(_GZIP) else Plain()
