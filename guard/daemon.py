"""What runs: listeners, sources, the mirror and the control socket, in one TaskGroup.

Everything that may block (store, ledger, kernel) runs in one worker thread, the engine, so that
each part is used by one thread and the event loop goes on answering SMTP. A source that fails is
started again with back-off; a store that is gone is asked again with the same batch while the
sources hold back what comes. Nothing here decides who is banned.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, ParamSpec, TypeVar

from guard.control import serve
from guard.events import Claim, Event, Mark
from guard.hurrying import Hurrying
from guard.lib.backoff import FIRST_PAUSE, Backoff
from guard.lib.beside import in_thread
from guard.lib.bulk import bulk
from guard.lib.clock import Clock
from guard.lib.systemd import notify, supervised
from guard.parts import Chore, EngineParts, Job, Parts
from guard.roles import Finishing, GuardError, Lost, Marking, Telling, Unavailable
from guard.watched import Watched

log = logging.getLogger("guard.daemon")
P = ParamSpec("P")
R = TypeVar("R")

MIRROR_EVERY = 0.5  # whoever changes the ledger says so at once; this is for a word that is lost
WAKE_EVERY = 2.0
GRACE = 10.0
# A source that has not failed for so long works: longer than any of them waits for a connection.
STEADY = 15.0


@dataclass
class Daemon:
    """Runs `parts` until a signal or `stop()`. Use one for one run."""

    parts: Parts
    clock: Clock
    ready: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._counting = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._held_back = ""
        self._followed = True
        self._lost: Lost | None = None
        self._jobs: list[tuple[Job, asyncio.Task[None]]] = []
        self._listening: list[tuple[Watched, asyncio.Task[None]]] = []
        self._control: asyncio.Server | None = None

    def stop(self) -> None:
        """Begins an orderly stop. Safe to repeat."""
        self._stopping.set()

    async def run(self) -> None:
        """Starts everything, waits for the stop, ends everything in order.

        Raises Lost when what is lost comes back with the next start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, self.parts.reload)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = await self._start(group)
                notify("READY=1")
                self.ready()
                await self._stopping.wait()
                notify("STOPPING=1")
                await self._finish(tasks)
        finally:
            self._thread.shutdown(wait=True)
            self.parts.close()
        if self._lost is not None:
            raise self._lost

    async def _start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        """Engine first, then sources, then listeners: nothing is heard before it can count."""
        tasks = []
        if (engine := self.parts.engine) is not None:
            await self._in_thread(engine.mirror.start, self.clock())
            await self._in_thread(engine.chronicle.open, self.clock())
            # What is there now stays: a search for garbage in it holds every ban up, for as long as
            # a thousand bans take.
            gc.collect()
            gc.freeze()
            self._control = await serve(engine.control, self._do)
            tasks.append(group.create_task(self._mirror(engine)))
            if engine.wait is not None:
                tasks.append(group.create_task(self._wake(engine.wait)))
            tasks += [group.create_task(self._repeat(chore)) for chore in engine.chores]
            for source in self.parts.sources:
                watched = Watched(source)
                task = group.create_task(self._listen(watched, engine))
                self._listening.append((watched, task))
                tasks.append(task)
        tasks += [group.create_task(self._repeat(chore)) for chore in self.parts.chores]
        for job in self.parts.jobs:
            task = group.create_task(self._keep(job.name, job.work.run, Backoff()))
            self._jobs.append((job, task))
            tasks.append(task)
        for listener in self.parts.listeners:
            await listener.start()
        return tasks

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        """Listeners first, so that sources still take what the last sessions say."""
        async with asyncio.TaskGroup() as group:
            for listener in self.parts.listeners:
                group.create_task(listener.stop(GRACE))
        ending = [(watched.source, task) for watched, task in self._listening]
        for part, task in [*ending, *((job.work, task) for job, task in self._jobs)]:
            if isinstance(part, Finishing):
                part.finish()
                await asyncio.wait([task], timeout=GRACE)
        if self._control is not None:
            self._control.close()
        for task in tasks:
            task.cancel()

    async def _in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        try:
            done = loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))
        except RuntimeError:  # it was shut down while a command waited
            raise Unavailable("Guard stops") from None
        return await done

    async def _listen(self, watched: Watched, engine: EngineParts) -> None:
        """Keeps one source going, and remembers what the operator wants to know of it."""
        backoff = Backoff()

        async def hear() -> None:
            source, pipeline = watched.source, engine.operations.pipeline
            marking = source if isinstance(source, Marking) else None
            if marking is not None:
                marking.resume(await self._in_thread(pipeline.marked, marking.key))
            steady = asyncio.get_running_loop().call_later(STEADY, works)
            try:
                async for batch in source.batches():
                    await self._count(batch, marking, engine)
                    watched.note(len(batch), self.clock())
                    backoff.reset()
            finally:
                steady.cancel()

        def works() -> None:
            watched.error = ""
            backoff.reset()

        def failed(error: str) -> None:
            watched.error = error

        await self._keep(f"source {watched.source.name}", hear, backoff, failed)

    async def _keep(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        backoff: Backoff,
        failed: Callable[[str], None] = lambda error: None,
    ) -> None:
        """Does `work` until it ends by itself; begins again, with a pause, when it fails.

        A stop cuts the pause short: what fails then once more is left.
        """
        while True:
            try:
                await work()
                return
            except GuardError as error:
                failed(str(error))
                log.warning("%s: %s; again in %gs", name, error, backoff.pause)
            except Exception:  # a fault of ours in one part must not end the others
                failed("fault in Guard, see the log")
                log.exception("%s failed; again in %gs", name, backoff.pause)
            if self._stopping.is_set():
                return
            await backoff.wait(self._stopping)

    async def _count(
        self, batch: Sequence[Event], marking: Marking | None, engine: EngineParts
    ) -> None:
        """Has `batch` counted, however long the store is gone.

        One batch at a time: the pipeline goes on where the same batch was cut off.
        """
        async with self._counting:
            if await self._hear(batch, marking, engine):
                self._changed.set()

    async def _hear(
        self, batch: Sequence[Event], marking: Marking | None, engine: EngineParts
    ) -> Sequence[Claim]:
        backoff = Backoff()
        while True:
            try:
                claims = await self._in_thread(self._enforce, batch, marking, engine)
                break
            except Unavailable as error:
                if not self._held_back:
                    log.error("%s; rejections wait", error)
                self._held_back = str(error)
                await backoff.wait()
        if self._held_back:
            log.warning("the store answers again")
            self._held_back = ""
        await self._in_thread(engine.chronicle.heard, batch, claims)
        return claims

    def _enforce(
        self, batch: Sequence[Event], marking: Marking | None, engine: EngineParts
    ) -> Sequence[Claim]:
        """Counts `batch` and has the kernel drop whoever is banned, before anything is told.

        No search for garbage begins meanwhile: it would hold all of them up.
        """
        with bulk():
            return self._counted(batch, marking, engine)

    def _counted(
        self, batch: Sequence[Event], marking: Marking | None, engine: EngineParts
    ) -> Sequence[Claim]:
        mark = None if marking is None else Mark(marking.key, marking.mark())
        hurry = Hurrying(engine.mirror, self.clock) if self._followed else None
        claims = engine.operations.pipeline.hear(batch, self.clock(), mark, hurry)
        if claims and self._followed:
            try:
                engine.mirror.step(self.clock())
            except GuardError as error:
                # It lays everything anew in a moment, and says what is wrong if it cannot.
                log.debug("the kernel did not follow at once: %s", error)
                self._followed = False
        return claims

    async def _mirror(self, engine: EngineParts) -> None:
        """Follows the ledger; now and then compares the whole."""
        reconciled, said = self.clock(), ""
        while True:
            try:
                async with asyncio.timeout(MIRROR_EVERY):
                    await self._changed.wait()
            except TimeoutError:
                pass
            self._changed.clear()
            now = self.clock()
            try:
                await self._in_thread(engine.mirror.step, now)
                await self._in_thread(engine.chronicle.tick, now)
                if not reconciled <= now < reconciled + engine.reconcile:
                    reconciled = now
                    await self._in_thread(engine.mirror.reconcile, now)
                said, self._followed = "", True
            except GuardError as error:
                if str(error) != said:
                    log.error("the kernel does not follow the ledger: %s", error)
                said, self._followed = str(error), False
                if isinstance(error, Lost) and supervised():
                    self._lost = error
                    self.stop()
                await asyncio.sleep(FIRST_PAUSE)

    async def _wake(self, wait: Callable[[float], bool]) -> None:
        """Has the mirror look when another host has changed the ledger."""
        while True:
            try:
                if await in_thread(partial(wait, WAKE_EVERY), "changes"):
                    self._changed.set()
            except GuardError:  # whoever asks the store says so
                await asyncio.sleep(FIRST_PAUSE)

    async def _repeat(self, chore: Chore) -> None:
        """Does a chore for ever. What it cannot do is said once, and tried again in its time."""
        said = ""
        while True:
            try:
                then = await in_thread(partial(chore.run, self.clock()), chore.name)
                if then is not None:
                    await self._in_thread(then, self.clock())
                    self._changed.set()
                said = ""
            except GuardError as error:
                if str(error) != said:
                    log.warning("%s: %s", chore.name, error)
                said = str(error)
            except Exception:  # a fault of ours in a chore must not end the daemon
                log.exception("%s failed", chore.name)
            await asyncio.sleep(chore.every)

    async def _do(self, name: str, arguments: dict[str, Any]) -> Any:
        """Answers the control socket."""
        engine, now = self.parts.engine, self.clock()
        assert engine is not None
        if name == "status":
            return {**await self._in_thread(engine.status, now), **self._status(now)}
        if name in ("feeds", "feeds_sync", "feeds_forget"):
            return await self._feeds(engine, name, arguments)
        if name == "unban_all" and arguments.get("parts"):
            return self._unban_all(engine, now)
        if (verb := engine.verbs.get(name)) is not None:
            return await in_thread(partial(verb, now=now, **arguments), name)
        answer = await self._in_thread(engine.operations.do, name, arguments, now)
        if name in ("ban", "unban", "unban_all", "allow", "disallow", "pause", "resume"):
            # The command's answer means that the kernel has it.
            await self._follow(engine)
        return answer

    async def _follow(self, engine: EngineParts) -> None:
        """Has the kernel follow; once more, where that was when its process began anew."""
        try:
            await self._in_thread(engine.mirror.step, self.clock())
        except Unavailable:
            await self._in_thread(engine.mirror.step, self.clock())

    async def _unban_all(self, engine: EngineParts, now: float) -> AsyncGenerator[Any, None]:
        """How many there are; then the rows, piece by piece, with the engine's other work between.

        What was begun is finished, though whoever asked may go away.
        """
        operations = engine.operations
        yield await self._in_thread(operations.ledger.size, now)
        pieces = operations.emptying(now)
        rows = await self._in_thread(next, pieces, None)
        try:
            await self._follow(engine)
            while rows is not None:
                yield rows
                rows = await self._in_thread(next, pieces, None)
        except (GeneratorExit, GuardError):
            while rows is not None:
                rows = await self._in_thread(next, pieces, None)
            raise

    async def _feeds(self, engine: EngineParts, name: str, arguments: dict[str, Any]) -> Any:
        """Answers `guard feeds`: servers of others are waited for outside the engine's thread."""
        lists = engine.lists
        if lists is None:
            return []
        if name == "feeds":
            rows = await in_thread(lists.rows, name)
            dropped = await self._in_thread(engine.dropped)
            for row in rows:
                row["dropped"], row["dropped_bytes"] = dropped.get(row["name"], (None, None))
            return rows
        if name == "feeds_forget":
            answer = await self._in_thread(lists.forget, now=self.clock(), **arguments)
            await self._follow(engine)
            return answer
        dry_run = arguments.pop("dry_run", False)
        collect = partial(lists.collect, now=self.clock(), dry_run=dry_run, **arguments)
        finish = partial(lists.finish, await in_thread(collect, name), dry_run=dry_run)
        answer = await self._in_thread(finish, self.clock())
        await self._follow(engine)
        return answer

    def _status(self, now: float) -> dict[str, Any]:
        return {
            **({"store": self._held_back} if self._held_back else {}),
            "source": [watched.row(now) for watched, _ in self._listening],
            **{
                job.name: [job.work.tell()]
                for job in self.parts.jobs
                if isinstance(job.work, Telling)
            },
        }
