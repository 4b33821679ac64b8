"""Some processes of one service, kept running: started together, restarted alone, ended together.

Each tells readiness as to systemd (NOTIFY_SOCKET), to a socket of ours; when all have, the crew
is ready. One that dies is started again, later after each failure in a row. One that says by its
exit code that it will never work ends the crew with that code.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Container, Sequence
from pathlib import Path

log = logging.getLogger("guard.crew")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0


class Crew:
    """One process for each of `commands`."""

    def __init__(
        self,
        commands: Sequence[Sequence[str]],
        *,
        grace: float,
        final: Container[int],
        ready: Callable[[], None] = lambda: None,
        ended: Callable[[int], None] = lambda number: None,
        inherited: Sequence[int] = (),
    ) -> None:
        """`grace` is how long they may take to end, `final` the exit codes that end all.

        `ended` is told the number of each that is gone; `inherited` are descriptors for all.
        """
        self._commands, self._grace, self._final, self._ready = commands, grace, final, ready
        self._ended, self._inherited = ended, tuple(inherited)
        self._stopping = asyncio.Event()
        self._running: set[asyncio.subprocess.Process] = set()
        self._told = 0
        self._code = 0

    def stop(self) -> None:
        """Begins the end. Safe to repeat."""
        self._stopping.set()
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Hands a signal on to all that run."""
        for process in tuple(self._running):
            process.send_signal(number)

    async def run(self) -> int:
        """Runs them until SIGTERM or SIGINT, hands SIGHUP on; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.signal, signal.SIGHUP)
        with (
            tempfile.TemporaryDirectory(prefix="guard-crew-") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as told,
        ):
            address = Path(folder) / "notify"
            told.bind(str(address))
            loop.add_reader(told, self._hear, told)
            try:
                await self._keep_all({**os.environ, "NOTIFY_SOCKET": str(address)})
            finally:
                loop.remove_reader(told)
        return self._code

    async def _keep_all(self, environment: dict[str, str]) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._keep(number, command, environment))
                for number, command in enumerate(self._commands)
            ]
            await self._stopping.wait()
            _, late = await asyncio.wait(tasks, timeout=self._grace)
            if late:
                log.warning("%d processes did not end in time", len(late))
                self.signal(signal.SIGKILL)

    async def _keep(self, number: int, command: Sequence[str], environment: dict[str, str]) -> None:
        pause, loop = _FIRST_PAUSE, asyncio.get_running_loop()
        while not self._stopping.is_set():
            began = loop.time()
            process = await asyncio.create_subprocess_exec(
                *command, env=environment, pass_fds=self._inherited
            )
            self._running.add(process)
            if self._stopping.is_set():
                process.terminate()
            code = await process.wait()
            self._running.discard(process)
            self._ended(number)
            if self._stopping.is_set():
                return
            if code in self._final:
                self._code = code
                self.stop()
                return
            if loop.time() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            log.error("process %d ended with %d; another in %.1f s", process.pid, code, pause)
            await self._sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _sleep(self, seconds: float) -> None:
        """Unless the end comes first."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _hear(self, told: socket.socket) -> None:
        while True:
            try:
                state = told.recv(256)
            except BlockingIOError:
                return
            if state == b"READY=1":
                self._told += 1
                if self._told == len(self._commands):
                    self._ready()
