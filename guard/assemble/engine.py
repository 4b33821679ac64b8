"""The daemon: store, pipeline, ledger and mirror, with what keeps them true."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from guard.assemble.deciding import (
    allowed,
    jails,
    lists,
    pipeline,
    protect_config,
    protection,
    recipes,
)
from guard.assemble.door import asking, tell
from guard.assemble.enriching import checks, opinions
from guard.assemble.listening import Front, front, sinks
from guard.assemble.made import Assembled
from guard.assemble.notifying import office
from guard.assemble.presence import elsewhere, rows
from guard.assemble.reporting import reporting
from guard.chronicle import Chronicle
from guard.config import Settings
from guard.control import call
from guard.enrichment.checks import Checks
from guard.firewall.groups import by_feed, group_of_set, groups_of, sorter
from guard.firewall.mirror import Mirror
from guard.firewall.separate import Separated, separate
from guard.lib import clock
from guard.lib.networks import Network
from guard.lists import FEEDS_EVERY, Lists
from guard.mail.depth import Depth
from guard.operations import Operations
from guard.parts import Chore, EngineParts, Job, Parts
from guard.pipeline import Pipeline
from guard.protect.hand import EVERY as HAND_EVERY
from guard.protect.pause import Pause
from guard.protect.protection import Protectors
from guard.protect.watch import FAR_EVERY, NEAR_EVERY, Watch
from guard.reporters.eventlog import EventLog
from guard.reporters.notify.office import SWEEP_EVERY, Office
from guard.roles import Firewall, Source
from guard.smtp.blocks import Blocks
from guard.smtp.goods import EVERY as GOODS_EVERY
from guard.smtp.server import Server
from guard.sources.channel import Channel
from guard.sources.make import make_source
from guard.sources.stream import RedisStream
from guard.stores.open import Store, open_store
from guard.stores.presence import Presence
from guard.stores.redis_waker import RedisWaker


def daemon(settings: Settings, path: Path | None = None) -> Assembled:
    """The daemon alone. A `guard listener` beside it delivers; what waits is told here."""
    depth = Depth(settings.state.dir / "spool", clock.now)
    return _engine(settings, path, Front(jobs=[Job("delivery", depth)]), [], ExitStack())


def up(settings: Settings, path: Path | None = None) -> Assembled:
    """Both in one process. `path` is where `settings` were read from."""
    stack = ExitStack()
    channel = Channel()
    answering = front(settings, path, sinks(settings, channel, stack), stack)
    return _engine(settings, path, answering, [channel], stack)


@dataclass(frozen=True, kw_only=True)
class _Firewall:
    """What enforces, and why it is this.

    `group` tells which sets a claim's source has, `counted` are the feeds that have some of their
    own; both where the firewall has such.
    """

    main: Firewall
    reason: str
    group: Callable[[str], tuple[str, ...]]
    counted: tuple[str, ...]


def _firewall(settings: Settings, stack: ExitStack) -> _Firewall:
    """First of all: whoever has no privileges to enforce hears so before a store is opened."""
    followed = [recipe for recipe in recipes(settings) if recipe.action == "block"]
    closing = tuple(recipe.name for recipe in followed if recipe.everything)
    others = tuple(recipe.name for recipe in followed if not recipe.everything)
    main, reason = separate(settings.firewall, groups_of(others, closing))
    stack.callback(main.close, clear=settings.firewall.clear)
    return _Firewall(
        main=main, reason=reason, group=sorter(others, closing), counted=(*others, *closing)
    )


def _engine(
    settings: Settings, path: Path | None, answering: Front, heard: list[Source], stack: ExitStack
) -> Assembled:
    protectors = protection(settings)
    wall = _firewall(settings, stack)
    store = open_store(settings.store, settings.state.dir, counting=True)
    stack.callback(store.close)
    feeds = lists(settings, store, protectors, stack)
    if settings.store.url is None:
        # In a fleet another host may follow what this one does not: `guard feeds forget`.
        feeds.drop_orphans(clock.now())
    asked = checks(settings, jails(settings), protectors, stack)
    deciding, watch = _deciding(settings, path, store, protectors, feeds, asked, stack)
    logs = _logs(settings, stack)
    telling = office(settings, stack)
    reports = reporting(settings, deciding.key, protectors.protects, stack)
    fleet = settings.store.url is not None
    chronicle = Chronicle(store.ledger, [*logs, telling, *reports.told], shared=fleet)
    telling.follow(chronicle.kinds)
    feeds.tell(telling.list_changed)
    switch = Pause(protectors, settings.state.dir)
    mirror = Mirror(store.ledger, wall.main, switch, wall.group)
    hand = allowed(settings, protectors, stack)
    door = _door(settings, store, wall, switch, protectors, answering.servers)

    def catch_up(now: float) -> None:
        chronicle.banned(deciding.catch_up(now))
        for log in logs:
            log.flush(now)

    told = _Status(
        store,
        deciding,
        mirror,
        wall,
        switch,
        chronicle,
        feeds,
        telling,
        answering.servers,
        asked,
        elsewhere(settings, stack),
    )
    engine = EngineParts(
        operations=Operations(
            deciding, store.counters, store.ledger, protectors, chronicle, switch, hand
        ),
        mirror=mirror,
        control=settings.state.control,
        reconcile=settings.firewall.reconcile,
        chronicle=chronicle,
        status=told,
        dropped=told.dropped,
        wait=_waiting(settings, stack),
        chores=[
            Chore("pause", 1.0, switch.expire),
            Chore("allow list", HAND_EVERY, hand.refresh),
            Chore("store", 1.0, lambda _: catch_up),
            Chore("protection", NEAR_EVERY, watch.near),
            Chore("protection by name", FAR_EVERY, watch.far),
            *([Chore("feeds", FEEDS_EVERY, feeds.step)] if settings.feed else []),
            *([Chore("door", 1.0, lambda _: door.step)] if door else []),
            Chore("good standing", GOODS_EVERY, asking(answering.goods, store.standing, settings)),
            Chore("notify", SWEEP_EVERY, telling.sweep(store.ledger)),
        ],
        lists=feeds,
        verbs={**reports.verbs, "opinions": opinions(asked)},
    )
    return Assembled(
        parts=Parts(
            listeners=answering.servers,
            sources=[*heard, *_sources(settings)],
            engine=engine,
            jobs=[
                *answering.jobs,
                *reports.jobs,
                Job("notify", telling),
                *_web(settings),
                *([Job("look-ups", asked)] if asked else []),
            ],
            chores=answering.chores,
            reload=answering.reload,
            close=stack.close,
        ),
        settings=settings,
        servers=answering.servers,
        jails=jails(settings),
        firewall=f"{wall.main.name}: {wall.reason}",
        separated=isinstance(wall.main, Separated),
    )


def _waiting(settings: Settings, stack: ExitStack) -> Callable[[float], bool] | None:
    """What waits for a change by another host of the fleet."""
    if (url := settings.store.redis) is None:
        return None
    waker = RedisWaker(url)
    stack.callback(waker.close)
    return waker.wait


def _door(
    settings: Settings,
    store: Store,
    wall: _Firewall,
    switch: Pause,
    protectors: Protectors,
    servers: Sequence[Server],
) -> Mirror | None:
    """Tells our own listeners who is trusted, and who is blocked and gets there all the same."""
    passable = wall.main.name == "dry-run" or any(item.proxies for item in settings.listener)
    blocks = Blocks(clock.now) if passable and servers else None
    tell(servers, protectors, blocks)
    return Mirror(store.ledger, blocks, switch) if blocks else None


def _deciding(
    settings: Settings,
    path: Path | None,
    store: Store,
    protectors: Protectors,
    feeds: Lists,
    asked: Checks | None,
    stack: ExitStack,
) -> tuple[Pipeline, Watch]:
    """The pipeline, and the watch over whom it may not claim: each is told by the other."""

    def noticed(address: Network) -> None:
        watch.noticed(address)
        if asked is not None:
            asked.heard(address)

    def heeds() -> bool:
        return asked is not None or watch.heeds()

    suspects = [asked] if asked is not None and asked.wants else []
    made = pipeline(settings, store, protectors, noticed, heeds, feeds, suspects)
    assert made.restraint is not None
    config = protect_config(path, made.restraint.configure)
    watch = Watch(settings.protect, protectors, settings.state.dir, config=config)
    stack.callback(watch.stop)
    watch.near(clock.now())  # files and learnt senders, before the first block is laid
    return made, watch


def _sources(settings: Settings) -> list[Source]:
    """What is configured; with Redis also what other processes put into it."""
    state = settings.state.dir
    found = [make_source(item, state, settings.jails.filters) for item in settings.source]
    if (url := settings.store.redis) is not None:
        consumer = f"{socket.gethostname()}:{state}"
        found.append(RedisStream(url, consumer=consumer))
    return found


def _web(settings: Settings) -> list[Job]:
    """The status page, which asks the daemon at its socket as a command does."""
    if settings.web.listen is None:
        return []
    from guard.web.server import StatusPage

    ask = partial(call, settings.state.control)
    return [Job("status page", StatusPage(settings.web.listen, ask, clock.now))]


def _logs(settings: Settings, stack: ExitStack) -> list[EventLog]:
    if settings.log.events is None:
        return []
    log = EventLog(settings.log.events, clock.now, collapse=settings.log.collapse)
    stack.callback(log.close)
    return [log]


@dataclass(frozen=True)
class _Status:
    """What `guard status` tells, asked in the engine's thread."""

    store: Store
    deciding: Pipeline
    mirror: Mirror
    wall: _Firewall
    switch: Pause
    chronicle: Chronicle
    feeds: Lists
    telling: Office
    servers: Sequence[Server]
    asked: Checks | None
    presence: Presence | None

    def __call__(self, now: float) -> dict[str, Any]:
        dropped = self.mirror.dropped()
        said = f"{self.wall.main.name}: {self.wall.reason}"
        return {
            "firewall": self.switch.said(now) or self.mirror.alarm or said,
            "kernel": self._kernel(dropped, now),
            "bans": self.store.ledger.size(now),
            "not blocked as protected": self.mirror.spared,
            "store": self.store.said(),
            "rejections": {str(kind): n for kind, n in sorted(self.chronicle.kinds.items())},
            "counting": asdict(self.deciding.tally),
            "listener": rows(self.servers, self.presence, now),
            "feed": self._feeds(now, dropped),
            "notify": self.telling.rows(),
            "stopped jails": self._stopped(now),
            **({"check": self.asked.brief(now)} if self.asked else {}),
        }

    def dropped(self) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each feed dropped, of those that have sets of their own."""
        return by_feed(self.mirror.dropped(), self.wall.counted)

    def _feeds(self, now: float, dropped: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
        """The lists, with the packets and bytes that each had the kernel drop."""
        counted = by_feed(dropped, self.wall.counted)
        rows = self.feeds.brief(now)
        for row in rows:
            if row["name"] in counted:
                row["dropped"], row["dropped bytes"] = counted[row["name"]]
        return rows

    def _kernel(self, dropped: dict[str, tuple[int, int]], now: float) -> dict[str, Any]:
        """What the last comparison found, and when; nothing before the first. What was dropped."""
        report, compared = self.mirror.report, self.mirror.compared
        found: dict[str, Any] = {}
        if report is not None and compared is not None:
            found = {"expected": report.expected, "present": report.present}
            found["checked_ago"] = max(0, round(now - compared))
        found["alarm"] = int(bool(self.mirror.alarm))
        warnings = {"warning": "; ".join(report.warnings)} if report and report.warnings else {}
        counts: dict[str, int] = {}
        for name, (packets, size) in dropped.items():
            if packets and not group_of_set(name):
                counts |= {f"dropped by {name}": packets, f"bytes dropped by {name}": size}
        return {**found, **warnings, **counts}

    def _stopped(self, now: float) -> list[dict[str, Any]]:
        restraint = self.deciding.restraint
        return [
            {"name": jail, "why": why, "seconds": round(until - now)}
            for jail, (until, why) in (restraint.brakes.stopped(now) if restraint else {}).items()
        ]
