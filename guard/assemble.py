"""Settings -> objects: the only file that names concrete classes.

`up`, `listener` and `daemon` make what the three services run; `operations` opens the store for a
command when no daemon runs; `check` reads everything and opens nothing.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from guard import __version__
from guard.chronicle import Chronicle
from guard.config import DEFAULT_PATH, Settings, load
from guard.control import call
from guard.feeds.copies import Copies, FolderCopies, RedisCopies
from guard.feeds.recipe import Recipe
from guard.feeds.sync import Feeds
from guard.firewall.mirror import Mirror
from guard.firewall.selected import Mirrors, Selected
from guard.firewall.separate import Separated, separate
from guard.jails.crowd import Crowd
from guard.jails.files import load_jails
from guard.jails.files import traps as jail_traps
from guard.jails.jail import Jail
from guard.lib import clock
from guard.lib.durations import format_duration
from guard.lib.faults import Fault
from guard.lib.fields import Endpoint
from guard.lib.networks import Network
from guard.lib.redis_url import connect, parse_redis_url
from guard.listeners import Listeners
from guard.listeners import Parts as ListenerParts
from guard.listeners import check as check_listeners
from guard.lists import FEEDS_EVERY, Lists
from guard.mail.check import check_queues
from guard.mail.collapsed import CollapsedRecords
from guard.mail.delivery import Deliverer, Surroundings
from guard.mail.recordlog import RecordLog
from guard.mail.reports import read_report
from guard.mail.resolver import DnsResolver
from guard.mail.spool import FileSpool
from guard.operations import Operations
from guard.parts import Chore, EngineParts, Job, Parts
from guard.pipeline import Pipeline
from guard.protect.hand import EVERY as HAND_EVERY
from guard.protect.hand import Hand
from guard.protect.pause import Pause
from guard.protect.protection import Protectors
from guard.protect.restraint import Restraint
from guard.protect.settings import ProtectSettings
from guard.protect.traps import traps
from guard.protect.watch import FAR_EVERY, NEAR_EVERY, Config, Watch
from guard.records import Record
from guard.reporters.eventlog import EventLog
from guard.roles import ConfigError, Firewall, Permits, Refused, Sink, Source
from guard.smtp.server import Server
from guard.sources.channel import Channel
from guard.sources.check import check_sources
from guard.sources.make import make_source
from guard.sources.stream import RedisStream
from guard.stores.open import Store, open_store
from guard.stores.permits import FilePermits, RedisPermits
from guard.stores.stream import StreamSink

Shape = Callable[[Settings], Settings]

__all__ = ["Assembled", "check", "daemon", "listener", "operations", "up"]


@dataclass(frozen=True, kw_only=True)
class Assembled:
    """A service, ready to run, and what an operator wants to know of it."""

    parts: Parts
    settings: Settings
    servers: Sequence[Server] = ()
    jails: Sequence[Jail] = ()
    firewall: str = ""
    separated: bool = False  # another process has the firewall's privileges: drop them here

    def listening(self) -> list[Endpoint]:
        """The addresses that the listeners really have; known once they run."""
        return [address for server in self.servers for address in server.addresses]

    def summary(self) -> Iterator[tuple[str, str]]:
        """(title, text) for each part, in an operator's words."""
        yield "guard", __version__
        for address, server in ((a, s) for s in self.servers for a in s.addresses):
            hosts = ", ".join(map(str, server.settings.relay_hosts)) or "nobody"
            yield "listener", f"{address}, relays for {hosts}"
        if self.firewall:
            yield "store", _place(self.settings)
            yield "firewall", self.firewall
            if self.settings.web.listen:
                yield "status", f"http://{self.settings.web.listen}/ and /metrics"
        for jail in self.jails:
            retry, findtime = jail.window
            yield (
                "jail",
                (
                    f"{jail.name}: {retry} within {format_duration(findtime)} "
                    f"bans for {format_duration(jail.bantime)}"
                ),
            )


class Fanout:
    """A Sink that hands each record to several."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def put(self, record: Record) -> None:
        """Hands `record` on."""
        for sink in self._sinks:
            sink.put(record)


def protection(settings: Settings) -> Protectors:
    """Whom nothing may block, as far as settings and this machine tell."""
    return Protectors.build(settings.protect, _relay_hosts(settings))


def protect_config(path: Path | None, made: Pipeline) -> Config:
    """Where `[protect]` is read anew when guard.toml changes."""

    def read() -> tuple[ProtectSettings, list[Network]]:
        settings = load(path)
        return settings.protect, _relay_hosts(settings)

    assert made.restraint is not None
    return Config(path or DEFAULT_PATH, read, made.restraint.configure)


def _relay_hosts(settings: Settings) -> list[Network]:
    return list(chain.from_iterable(item.relay_hosts for item in settings.listener))


def jails(settings: Settings) -> list[Jail]:
    """The jails that run. Raises ConfigError with all faults."""
    return load_jails(settings.jails.path, settings.jails.filters)


def pipeline(
    settings: Settings,
    store: Store,
    protectors: Protectors,
    noticed: Callable[[Network], None] = lambda address: None,
    feeds: Lists | None = None,
) -> Pipeline:
    """Rejections to claims; `noticed` is told each address that is new."""
    running = jails(settings)
    commands = {jail.name: jail.ignorecommand for jail in running if jail.ignorecommand}
    restraint = Restraint(
        settings.protect, store.standing, store.counters, commands, noticed=noticed
    )
    return Pipeline(
        running,
        store.counters,
        store.ledger,
        protectors,
        settings=settings.jails,
        restraint=restraint,
        crowd=Crowd(settings.jails.crowd, store.crowds, store.ledger, protectors),
        weigh=feeds.weigh if feeds else None,
    )


@contextmanager
def operations(settings: Settings) -> Iterator[Operations]:
    """The ledger by hand, without a daemon."""
    protectors = protection(settings)
    Watch(settings.protect, protectors, settings.state.dir).near(clock.now())
    store = open_store(settings.store, settings.state.dir)
    try:
        made = pipeline(settings, store, protectors)
        chronicle = Chronicle(store.ledger, ())
        switch = Pause(protectors, settings.state.dir)
        with ExitStack() as stack:
            hand = allowed(settings, protectors, stack)
            yield Operations(
                made, store.counters, store.ledger, protectors, chronicle, switch, hand
            )
    finally:
        store.close()


def allowed(settings: Settings, protectors: Protectors, stack: ExitStack) -> Hand:
    """The allow list by hand, taken up."""
    permits: Permits = FilePermits(settings.state.dir)
    if settings.store.url is not None:
        url = parse_redis_url(settings.store.url)
        client = connect(url)
        stack.callback(client.close)
        permits = RedisPermits(client, str(url), FilePermits(settings.state.dir))
    hand = Hand(permits, protectors)
    hand.refresh(clock.now())
    return hand


def recipes(settings: Settings) -> list[Recipe]:
    """The feeds that are followed. Raises ConfigError with all faults."""
    found, faults = [], []
    for index, item in enumerate(settings.feed):
        try:
            found.append(item.recipe())
        except Refused as error:
            faults.append(Fault(str(DEFAULT_PATH), f"feed[{index}]", str(error)))
    if faults:
        raise ConfigError(faults)
    return found


def lists(settings: Settings, store: Store, protectors: Protectors, stack: ExitStack) -> Lists:
    """The feeds; hosts that share a store share copies and turns too."""
    copies: Copies = FolderCopies(settings.state.dir / "feeds")
    if settings.store.url is not None:
        url = parse_redis_url(settings.store.url)
        client = connect(url)
        stack.callback(client.close)
        copies = RedisCopies(client, str(url))
    return Lists(Feeds(recipes(settings), copies, protectors), store.ledger)


@contextmanager
def lists_by_hand(settings: Settings) -> Iterator[Lists]:
    """The feeds, for a command when no daemon runs."""
    protectors = protection(settings)
    Watch(settings.protect, protectors, settings.state.dir).near(clock.now())
    with ExitStack() as stack:
        store = open_store(settings.store, settings.state.dir)
        stack.callback(store.close)
        yield lists(settings, store, protectors, stack)


def check(path: Path | None) -> list[Fault]:
    """Reads all configuration, the files that it names included; returns warnings.

    Raises ConfigError with the faults of every file.
    """
    settings = load(path)
    found: list[Fault] = []
    faults: list[Fault] = []
    try:
        jails(settings)
        heard = [getattr(item, "filter", "") for item in settings.source]
        found += jail_traps(settings.jails.path, settings.jails.filters, heard)
    except ConfigError as error:
        faults += error.faults
    try:
        recipes(settings)
    except ConfigError as error:
        faults += [Fault(str(path or DEFAULT_PATH), f.key, f.message) for f in error.faults]
    try:
        found += check_listeners(settings, path)
    except ConfigError as error:
        faults += error.faults
    try:
        where = str(path or DEFAULT_PATH)
        found += check_sources(settings.source, settings.jails.filters, where)
    except ConfigError as error:
        faults += error.faults
    try:
        check_queues(settings.queue, str(path or DEFAULT_PATH))
    except ConfigError as error:
        faults += error.faults
    warned = traps(settings.protect, _relay_hosts(settings))
    found += [Fault(str(path or DEFAULT_PATH), key, message) for key, message in warned]
    if faults:
        raise ConfigError(list(dict.fromkeys(faults)))
    return found


@dataclass(frozen=True, kw_only=True)
class _Front:
    """What answers strangers, with what has to run beside it."""

    servers: Sequence[Server] = ()
    jobs: Sequence[Job] = ()
    reload: Callable[[], None] = lambda: None


def _front(
    settings: Settings,
    path: Path | None,
    sink: Sink,
    stack: ExitStack,
    shape: Shape = lambda settings: settings,
) -> _Front:
    """The listeners, the reloading of their files, and the delivery of their mail."""
    spool = FileSpool(settings.state.dir / "spool")
    spool.open()
    nodeid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{uuid.getnode():x}"))
    around_listeners = ListenerParts(spool, sink, nodeid, clock.now, read_report)
    listeners = Listeners(settings, path, around_listeners, shape)
    stack.callback(listeners.close)
    reloader = listeners.reloader()
    jobs = [Job("reload", reloader)]
    if settings.delivery.enabled:
        resolver = DnsResolver(settings.delivery.nameservers)
        around = Surroundings(sink=sink, resolver=resolver, clock=clock.now, nodeid=nodeid)
        names = [item.hostname for item in settings.listener]
        hostname = settings.delivery.hostname or next(iter(names), None)
        own = replace(settings.delivery, hostname=hostname)
        deliverer = Deliverer(spool, own, settings.queue, around)
        listeners.tell_queues(deliverer.reconfigure)
        jobs.append(Job("delivery", deliverer))
    return _Front(servers=listeners.servers, jobs=jobs, reload=reloader.request)


def _sinks(settings: Settings, first: Sink, stack: ExitStack) -> Sink:
    if settings.log.records is None:
        return first
    records = RecordLog(settings.log.records, clock.now)
    stack.callback(records.close)
    if not settings.log.collapse:
        return Fanout([first, records])
    collapsed = CollapsedRecords(records, settings.log.collapse, clock.now)
    stack.callback(collapsed.close)
    return Fanout([first, collapsed])


def listener(
    settings: Settings, path: Path | None = None, shape: Shape = lambda settings: settings
) -> Assembled:
    """The listener alone. Its rejections go to Redis, where a daemon hears them.

    `shape` makes of what was read what this process runs, one of several.
    """
    settings = shape(settings)
    if settings.store.url is None:
        message = "listener and daemon meet in Redis; set it, or run both at once with `guard up`"
        raise ConfigError([Fault(str(DEFAULT_PATH), "store.url", message)])
    stack = ExitStack()
    stream = StreamSink(settings.store.url)
    stack.callback(stream.close)
    stream.reach()
    front = _front(settings, path, _sinks(settings, stream, stack), stack, shape)
    parts = Parts(listeners=front.servers, jobs=front.jobs, reload=front.reload, close=stack.close)
    return Assembled(parts=parts, settings=settings, servers=front.servers)


def daemon(settings: Settings, path: Path | None = None) -> Assembled:
    """The daemon alone."""
    return _engine(settings, path, _Front(), [], ExitStack())


def up(settings: Settings, path: Path | None = None) -> Assembled:
    """Both in one process. `path` is where `settings` were read from."""
    stack = ExitStack()
    channel = Channel()
    front = _front(settings, path, _sinks(settings, channel, stack), stack)
    return _engine(settings, path, front, [channel], stack)


def _engine(
    settings: Settings, path: Path | None, front: _Front, sources: list[Source], stack: ExitStack
) -> Assembled:
    protectors = protection(settings)
    running = jails(settings)
    firewall, reason = separate(settings.firewall)
    stack.callback(firewall.close, clear=settings.firewall.clear)
    everything = {f"feed:{recipe.name}" for recipe in recipes(settings) if recipe.everything}
    routes = None
    if everything and firewall.name in ("nftables", "iptables"):
        # Null routes close every port beside whatever closes the ports of mail.
        routes, _ = separate(replace(settings.firewall, backend="blackhole"))
        stack.callback(routes.close, clear=settings.firewall.clear)
    store = open_store(settings.store, settings.state.dir)
    stack.callback(store.close)
    feeds = lists(settings, store, protectors, stack)
    if settings.store.url is None:
        # In a fleet another host may follow what this one does not: `guard feeds forget`.
        feeds.drop_orphans(clock.now())

    def noticed(address: Network) -> None:
        watch.noticed(address)

    made = pipeline(settings, store, protectors, noticed, feeds)
    watch = Watch(
        settings.protect,
        protectors,
        settings.state.dir,
        config=protect_config(path, made),
    )
    stack.callback(watch.stop)
    watch.near(clock.now())  # files and learnt senders, before the first block is laid
    sources += [
        make_source(item, settings.state.dir, settings.jails.filters) for item in settings.source
    ]
    if settings.store.url is not None:
        sources.append(
            RedisStream(settings.store.url, consumer=f"{socket.gethostname()}:{settings.state.dir}")
        )
    logs = _logs(settings, stack)
    chronicle = Chronicle(store.ledger, logs)
    switch = Pause(protectors, settings.state.dir)
    mirror = _mirror(store, firewall, routes, switch, everything)
    hand = allowed(settings, protectors, stack)
    operations = Operations(made, store.counters, store.ledger, protectors, chronicle, switch, hand)

    def catch_up(now: float) -> None:
        chronicle.banned(made.catch_up(now))
        for log in logs:
            log.flush(now)

    def status(now: float) -> dict[str, Any]:
        stopped = made.restraint.brakes.stopped(now) if made.restraint else {}
        return {
            "firewall": switch.said(now) or mirror.alarm or f"{firewall.name}: {reason}",
            "kernel": _kernel(mirror),
            "bans": len(store.ledger.claims(now)),
            "not blocked as protected": mirror.spared,
            "store": store.said(),
            "rejections": {str(kind): n for kind, n in sorted(chronicle.kinds.items())},
            "counting": asdict(made.tally),
            "listener": [
                {"name": str(address), **server.counts}
                for server in front.servers
                for address in server.addresses[:1]
            ],
            "feed": feeds.brief(now),
            "stopped jails": [
                {"name": jail, "why": why, "seconds": round(until - now)}
                for jail, (until, why) in stopped.items()
            ],
        }

    parts = Parts(
        listeners=front.servers,
        sources=sources,
        engine=EngineParts(
            operations=operations,
            mirror=mirror,
            control=settings.state.control,
            reconcile=settings.firewall.reconcile,
            chronicle=chronicle,
            status=status,
            chores=[
                Chore("pause", 1.0, switch.expire),
                Chore("allow list", HAND_EVERY, hand.refresh),
                Chore("store", 1.0, lambda _: catch_up),
                Chore("protection", NEAR_EVERY, watch.near),
                Chore("protection by name", FAR_EVERY, watch.far),
                *([Chore("feeds", FEEDS_EVERY, feeds.step)] if settings.feed else []),
            ],
            lists=feeds,
        ),
        jobs=[*front.jobs, *_web(settings)],
        reload=front.reload,
        close=stack.close,
    )
    return Assembled(
        parts=parts,
        settings=settings,
        servers=front.servers,
        jails=running,
        firewall=_said(firewall, reason),
        separated=isinstance(firewall, Separated),
    )


def _mirror(
    store: Store, firewall: Firewall, routes: Firewall | None, switch: Pause, everything: set[str]
) -> Mirror | Mirrors:
    """What follows the ledger: one firewall, or one for the ports and one for `everything`."""
    if routes is None:
        return Mirror(store.ledger, firewall, switch)
    others = Selected(store.ledger, lambda source: source not in everything)
    closed = Selected(store.ledger, everything.__contains__)
    return Mirrors([Mirror(others, firewall, switch), Mirror(closed, routes, switch)])


def _web(settings: Settings) -> list[Job]:
    """The status page, which asks the daemon at its socket as a command does."""
    if settings.web.listen is None:
        return []
    from guard.web.server import StatusPage

    ask = partial(call, settings.state.control)
    return [Job("status page", StatusPage(settings.web.listen, ask, clock.now))]


def _kernel(mirror: Mirror | Mirrors) -> dict[str, Any]:
    """What the last comparison found, nothing before the first; and what was dropped, by set."""
    report = mirror.report
    found = {"expected": report.expected, "present": report.present} if report else {}
    warnings = {"warning": "; ".join(report.warnings)} if report and report.warnings else {}
    dropped = {f"dropped by {name}": n for name, n in mirror.dropped().items() if n}
    return {**found, **warnings, **dropped}


def _place(settings: Settings) -> str:
    if settings.store.url is None:
        return f"embedded, in {settings.state.dir}"
    return str(parse_redis_url(settings.store.url))


def _said(firewall: Firewall, reason: str) -> str:
    return f"{firewall.name}: {reason}"


def _logs(settings: Settings, stack: ExitStack) -> list[EventLog]:
    if settings.log.events is None:
        return []
    log = EventLog(settings.log.events, clock.now, collapse=settings.log.collapse)
    stack.callback(log.close)
    return [log]
