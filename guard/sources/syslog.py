"""A syslog receiver: RFC 5424 and 3164 by UDP, TCP (RFC 6587) and unix socket.

UDP names no sender that can be trusted, and whoever may send here may have anybody banned: only
addresses in `allow` are heard, which by default is this machine. Nothing is kept: what arrives
while the daemon is down is lost, as ever with syslog; have a log file or the journal read instead
where that matters.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

from guard.events import Event, Rejection
from guard.filters.textfilter import Filter
from guard.lib.clock import Clock, now
from guard.lib.networks import parse_address
from guard.lib.sockets import remove_stale
from guard.roles import Forbidden, Unavailable
from guard.sources.entries import syslog_entry
from guard.sources.gather import Gather
from guard.sources.lines import Lines
from guard.sources.recordlines import hear
from guard.sources.settings import SyslogSettings
from guard.sources.tally import Tally

LONGEST = 1 << 20
_COUNTED = re.compile(rb"([1-9]\d{0,6}) ")


class Syslog:
    """Listens as `settings` say. Without a filter the messages are log records, as JSON."""

    def __init__(
        self, settings: SyslogSettings, filter_: Filter | None, *, clock: Clock = now
    ) -> None:
        self.name = f"syslog {settings.socket or settings.listen}"
        self.addresses: list[tuple[str, int]] = []
        self.tally = Tally()
        self.strangers = 0
        self._settings, self._filter, self._clock = settings, filter_, clock
        self._gather: Gather | None = None

    async def batches(self) -> AsyncIterator[Sequence[Event]]:
        """Events as messages come. Raises Unavailable or Forbidden when it cannot listen."""
        gather = Gather(self.name, self._hear, self._clock)
        self._gather = gather
        async with AsyncExitStack() as stack:
            try:
                await self._listen(gather, stack)
            except PermissionError:
                raise Forbidden(f"{self.name}: not allowed to listen here") from None
            except OSError as error:
                raise Unavailable(f"{self.name}: {error.strerror or error}") from None
            async for batch in gather.batches():
                yield batch

    def tell(self) -> dict[str, int]:
        """What was lost, what came from those who may not send, and what was no record."""
        dropped = self._gather.dropped if self._gather else 0
        return {"dropped": dropped, "strangers": self.strangers, "faults": self.tally.faulty}

    def finish(self) -> None:
        """Lets `batches` yield what has arrived, and end."""
        if self._gather is not None:
            self._gather.finish()

    async def _listen(self, gather: Gather, stack: AsyncExitStack) -> None:
        loop = asyncio.get_running_loop()
        settings = self._settings
        if settings.socket is not None:
            remove_stale(settings.socket)
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(gather, lambda _: True),
                local_addr=str(settings.socket),
                family=1,
            )
            stack.callback(transport.close)
            settings.socket.chmod(0o666 if settings.public else 0o660)
            self.addresses = [(str(settings.socket), 0)]
            return
        host, port = settings.listen
        server = await asyncio.start_server(
            lambda reader, writer: self._serve(gather, reader, writer), host or None, port
        )
        stack.callback(server.close)
        self.addresses = [item.getsockname()[:2] for item in server.sockets]
        for address in self.addresses:  # the same port, where it was chosen for us
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(gather, self._known), local_addr=address
            )
            stack.callback(transport.close)

    def _known(self, host: str) -> bool:
        """Whether `host` may say who is to be banned."""
        try:
            address = parse_address(host.partition("%")[0])
        except ValueError:
            return False
        if any(network.covers(address) for network in self._settings.allow):
            return True
        self.strangers += 1
        return False

    async def _serve(
        self, gather: Gather, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            peer = writer.get_extra_info("peername")
            if peer is None or not self._known(peer[0]):
                return
            frames = Frames()
            while block := await reader.read(64 << 10):
                for message in frames.feed(block):
                    gather.put(message)
                await gather.room()  # TCP can wait
        except ConnectionError:
            return
        finally:
            writer.close()

    def _hear(self, lines: Sequence[bytes]) -> list[Event]:
        if self._filter is None:
            texts = (syslog_entry(line).line for line in lines)
            records = [text[text.find("{") :].encode() for text in texts if "{" in text]
            return hear([b"\n".join(records) + b"\n"], self.tally, self.name) if records else []
        events: list[Event] = []
        moment = self._clock()
        for line in lines:
            self.tally.lines += 1
            entry = syslog_entry(line)
            found = self._filter.match_text(entry.line, moment, entry.time)
            if found is not None and found.address:
                time = found.time if entry.time is None else entry.time
                events.append(
                    Rejection(time, found.address, None, filter=self._settings.filter or "")
                )
        return events


class _Datagrams(asyncio.DatagramProtocol):
    """A message each."""

    def __init__(self, gather: Gather, known: Callable[[str], bool]) -> None:
        self._gather, self._known = gather, known

    def datagram_received(self, data: bytes, addr: tuple[str, int] | str | None) -> None:
        host = addr[0] if isinstance(addr, tuple) else ""
        if data and self._known(host):
            self._gather.put(data)


class Frames:
    """The messages of a TCP stream: a count and so many bytes, or up to a line end (RFC 6587)."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: Lines | None = None

    def feed(self, block: bytes) -> list[bytes]:
        """The messages that `block` completes."""
        if self._lines is not None:
            return _split(self._lines.feed(block))
        self._rest += block
        messages: list[bytes] = []
        while self._rest:
            count = _COUNTED.match(self._rest)
            if count is None:
                if self._rest.isdigit() and len(self._rest) < 8:
                    break  # a count that has not ended
                # No count, or nonsense: lines from here on.
                self._lines, rest = Lines(LONGEST), self._rest
                self._rest = b""
                return messages + _split(self._lines.feed(rest))
            end = count.end() + int(count[1])
            if len(self._rest) < end:
                break
            messages.append(self._rest[count.end() : end])
            self._rest = self._rest[end:]
        return messages


def _split(runs: list[bytes | None]) -> list[bytes]:
    return [line for run in runs if run for line in run.split(b"\n") if line]
