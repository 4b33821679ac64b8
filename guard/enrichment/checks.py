"""All services that are asked, as the daemon, the jails and `guard explain` use them.

Each has a thread of its own that waits for it; nothing that bans ever does. The role Suspects: a
jail with a condition (`abuseipdb.score = 75`) asks for less of an address whose score is known to
reach it, and has the others asked about in the background.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from typing import Any

from guard.enrichment.desk import Desk, Key
from guard.enrichment.memory import Held
from guard.events import Offence, Suspicion
from guard.jails.jail import Condition, Jail
from guard.lib.clock import Clock
from guard.lib.networks import Network, parse_network
from guard.roles import BadInput, GuardError

log = logging.getLogger("guard.check")

MOST_ADDRESSES = 50_000
FAULT_PAUSE = 60.0
GRACE = 0.5  # seconds that the end waits for all services together
Protect = Callable[[Sequence[tuple[Network, str]]], object]


class Checks:
    """`desks`, asked for `jails` and by hand. `wait` is how long that waits for all of them.

    `vetoing` are the desks that are asked for every jail. `protect` is given all vetoes, anew.
    """

    def __init__(
        self,
        desks: Sequence[Desk],
        jails: Iterable[Jail],
        *,
        clock: Clock,
        key: Key,
        wait: float,
        vetoing: Sequence[str] = (),
        private: Callable[[Network], str | None] = lambda network: None,
        protect: Protect = lambda entries: None,
    ) -> None:
        self._desks = {desk.name: desk for desk in desks}
        self._clock, self._key, self._wait = clock, key, wait
        self._private, self._protect = private, protect
        self._asked = _asked(jails, self._desks, vetoing)
        self._addresses: OrderedDict[Network, Network] = OrderedDict()
        self._threads: list[threading.Thread] = []
        self._stopping = False

    @property
    def wants(self) -> bool:
        """Whether a jail or a veto needs to know of rejections."""
        return bool(self._asked)

    def open(self) -> None:
        """Takes up what was known before a restart, vetoes before the first block is laid."""
        for desk in self._desks.values():
            desk.open(self._clock())
        self.vetoed()

    def vetoed(self) -> None:
        """Has all vetoes protected. Safe in any thread."""
        self._protect([entry for desk in self._desks.values() for entry in desk.vetoes()])

    # Where rejections are counted -----------------------------------------------------------------

    def heard(self, address: Network) -> None:
        """Remembers an address of a wider network, to ask about it. Never waits."""
        if not address.is_address or (network := self._key(address)) == address:
            return
        self._addresses[network] = address
        while len(self._addresses) > MOST_ADDRESSES:
            self._addresses.popitem(last=False)

    def suspicion(self, offence: Offence, maxretry: int) -> Suspicion | None:
        """The role's. Who is not known is asked about in the background."""
        found = None
        for desk, condition in self._asked.get(offence.jail, ()):
            score = desk.score(offence.network, offence.time)
            if score is None:
                address = self._addresses.get(offence.network, offence.network)
                desk.notice(offence.network, offence.rejections, address)
            elif (
                condition is not None and score >= condition.score and condition.maxretry < maxretry
            ):
                maxretry = condition.maxretry
                found = Suspicion(maxretry, f"{desk.name} score {score}")
        return found

    # By hand --------------------------------------------------------------------------------------

    def opinions(self, *, now: float, address: str) -> list[dict[str, Any]]:
        """What each service says, or why it says nothing, within the wait for all of them.

        Raises BadInput for what is no address or block.
        """
        try:
            network = parse_network(address)
        except ValueError as error:
            raise BadInput(str(error)) from None
        if why := self._private(network):
            return [_row(name, error=f"not asked: {why}") for name in self._desks]
        ends = time.monotonic() + self._wait
        asked = {name: desk.question(network, now) for name, desk in self._desks.items()}
        rows = [
            _answer(name, future, max(0.0, ends - time.monotonic()), self._clock)
            for name, future in asked.items()
        ]
        return [{**row, "enough": self._enough(row["name"], row["score"])} for row in rows]

    def _enough(self, name: str, score: int | None) -> dict[str, int]:
        """How many rejections are enough with this score, by jail."""
        if score is None:
            return {}
        return {
            jail: how.maxretry
            for jail, pairs in self._asked.items()
            for desk, how in pairs
            if how is not None and desk.name == name and score >= how.score
        }

    def brief(self, now: float) -> list[dict[str, Any]]:
        """A row for each service, for `guard status` and the metrics."""
        return [desk.brief(now) for desk in self._desks.values()]

    # What asks ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts a thread for each service."""
        for desk in self._desks.values():
            # A service that hangs must not hold up the end of this process.
            thread = threading.Thread(
                target=self._serve, args=(desk,), name=f"check {desk.name}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Ends the threads, without waiting for services; keeps what they said."""
        self._stopping = True
        for desk in self._desks.values():
            desk.work.set()
        ends = time.monotonic() + GRACE
        for thread in self._threads:
            thread.join(max(0.0, ends - time.monotonic()))
        for desk in self._desks.values():
            desk.memory.save()

    async def run(self) -> None:
        """A job of the daemon: asks until it is cancelled."""
        self.start()
        await asyncio.Event().wait()

    def _serve(self, desk: Desk) -> None:
        while not self._stopping:
            try:
                pause = desk.step(self._clock())
            except Exception:  # a fault of ours with one answer must not end the asking
                if not self._stopping:
                    log.exception("%s", desk.name)
                pause = FAULT_PAUSE
            if pause > 0 and not self._stopping:
                desk.work.wait(pause)


def _asked(
    jails: Iterable[Jail], desks: Mapping[str, Desk], vetoing: Sequence[str]
) -> dict[str, tuple[tuple[Desk, Condition | None], ...]]:
    """Who is asked for each jail, with the jail's condition; vetoes are for all."""
    found = {}
    for jail in jails:
        wanted: dict[str, Condition | None] = dict.fromkeys(vetoing)
        # Where a jail asks for no more of anybody, a question would be spent for nothing.
        most = jail.window.maxretry
        wanted |= {how.name: how for how in jail.conditions if how.maxretry < most}
        pairs = tuple((desks[name], how) for name, how in wanted.items() if name in desks)
        if pairs:
            found[jail.name] = pairs
    return found


def _answer(name: str, future: Future[Held], wait: float, clock: Clock) -> dict[str, Any]:
    try:
        held = future.result(wait)
    except NotInTime:
        future.cancel()
        return _row(name, error="not answered")
    except GuardError as error:
        return _row(name, error=str(error))
    return _row(name, held, age=max(0.0, clock() - held.time))


def _row(
    name: str, held: Held | None = None, *, error: str | None = None, age: float | None = None
) -> dict[str, Any]:
    """An opinion as JSON carries it; all members are always there."""
    opinion = held.opinion if held is not None else None
    return {
        "name": name,
        "score": opinion.score if opinion is not None else None,
        "verdict": opinion.verdict if opinion is not None else None,
        "veto": opinion.veto if opinion is not None else False,
        "facts": dict(opinion.facts) if opinion is not None else {},
        "age": None if age is None else round(age),
        "error": error,
        "enough": {},
    }
