"""What answers strangers: listeners, their spool and delivery, and where they report."""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from guard.assemble.door import door
from guard.assemble.made import Assembled
from guard.assemble.presence import telling
from guard.assemble.workers import Seat
from guard.config import DEFAULT_PATH, Settings
from guard.lib import clock
from guard.lib.faults import Fault
from guard.lib.openfiles import as_many_as_possible
from guard.lib.prefixes import Prefixes
from guard.listeners import Listeners
from guard.listeners import Parts as ListenerParts
from guard.mail.collapsed import CollapsedRecords
from guard.mail.delivery import Deliverer, Surroundings
from guard.mail.queuenames import QueueNames
from guard.mail.recordlog import RecordLog
from guard.mail.recordpipe import Pipe
from guard.mail.reports import read_report
from guard.mail.resolver import DnsResolver
from guard.mail.settings import QueueSettings
from guard.mail.spool import FileSpool
from guard.parts import Chore, Job, Parts
from guard.protect import dns
from guard.protect.reserved import reserved
from guard.records import Record
from guard.roles import ConfigError, Sink
from guard.smtp.goods import Goods
from guard.smtp.naming import EVERY as NAMES_EVERY
from guard.smtp.naming import Naming
from guard.smtp.server import Server
from guard.stores.stream import StreamSink

log = logging.getLogger("guard.listeners")
Shape = Callable[[Settings], Settings]
FILES_BESIDE = 256  # what else a listener opens: the spool, deliveries, logs


class Fanout:
    """A Sink that hands each record to several."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def put(self, record: Record) -> None:
        """Hands `record` on."""
        for sink in self._sinks:
            sink.put(record)


@dataclass(frozen=True, kw_only=True)
class Front:
    """What answers strangers, with what has to run beside it."""

    servers: Sequence[Server] = ()
    jobs: Sequence[Job] = ()
    chores: Sequence[Chore] = ()
    goods: Goods = field(default_factory=Goods)
    reload: Callable[[], None] = lambda: None


def front(
    settings: Settings,
    path: Path | None,
    sink: Sink,
    stack: ExitStack,
    shape: Shape = lambda settings: settings,
    seat: Seat | None = None,
) -> Front:
    """The listeners, the reloading of their files, and the delivery of their mail."""
    settings = fit(settings, as_many_as_possible())
    spool = FileSpool(settings.state.dir / "spool")
    spool.open()
    nodeid = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{uuid.getnode():x}"))
    names = QueueNames(sink, settings.queue)
    goods = Goods()
    board = seat.board if seat else lambda name: None
    naming = Naming(dns.resolver(settings.protect.name_servers), Prefixes(n for n, _ in reserved()))
    stack.callback(naming.stop)
    around_listeners = ListenerParts(
        spool, names, nodeid, clock.now, read_report, board, naming, goods
    )
    listeners = Listeners(
        settings, path, around_listeners, lambda read: fit(shape(read), as_many_as_possible())
    )
    stack.callback(listeners.close)
    reloader = listeners.reloader()
    jobs = [Job("reload", reloader)]
    if settings.delivery.enabled:
        resolver = DnsResolver(settings.delivery.nameservers)
        around = Surroundings(sink=sink, resolver=resolver, clock=clock.now, nodeid=nodeid)
        own_names = [item.hostname for item in settings.listener]
        hostname = settings.delivery.hostname or next(iter(own_names), None)
        own = replace(settings.delivery, hostname=hostname)
        deliverer = Deliverer(spool, own, settings.queue, around)

        def reconfigure(queues: Mapping[str, QueueSettings]) -> None:
            names.reconfigure(queues)
            deliverer.reconfigure(queues)

        listeners.tell_queues(reconfigure)
        jobs.append(Job("delivery", deliverer))
    return Front(
        servers=listeners.servers,
        jobs=jobs,
        chores=[Chore("names of scanners", NAMES_EVERY, naming.step)],
        goods=goods,
        reload=reloader.request,
    )


def fit(settings: Settings, files: int) -> Settings:
    """`settings` with no more connections than a process that may open `files` can have, of all
    listeners together.

    So that it is a limit of ours that is met, which keeps a part for the trusted, and not the
    system's, which keeps nothing for anybody.
    """
    room = max(files - FILES_BESIDE, files // 2)
    wanted = sum(item.max_connections / item.workers for item in settings.listener)
    fitting = []
    for item in settings.listener:
        most = item.max_connections
        if wanted > room:
            most = max(1, int(most * room / wanted))
        if most < item.max_connections:
            log.info("%s: %d connections, for so many files may be open", item.listen, most)
        fitting.append(replace(item, max_connections=most))
    return replace(settings, listener=tuple(fitting))


def sinks(
    settings: Settings, first: Sink, stack: ExitStack, way: socket.socket | None = None
) -> Sink:
    """`first`, and the record log; through `way`, where another process writes it."""
    if settings.log.records is None:
        return first
    log = RecordLog(settings.log.records, clock.now)
    stack.callback(log.close)
    records: Sink = log
    if way:
        records = pipe = Pipe(way, log)
        stack.callback(pipe.close)
    if not settings.log.collapse:
        return Fanout([first, records])
    # Who writes for several collapses over all of them, and should not hear of it late.
    window = min(settings.log.collapse, 1.0) if way else settings.log.collapse
    collapsed = CollapsedRecords(records, window, clock.now)
    stack.callback(collapsed.close)
    return Fanout([first, collapsed])


def listener(
    settings: Settings,
    path: Path | None = None,
    shape: Shape = lambda settings: settings,
    seat: Seat | None = None,
) -> Assembled:
    """The listener alone. Its rejections go to Redis, where a daemon hears them.

    `shape` makes of what was read what this process runs, one of several, which has a `seat`.
    """
    settings = shape(settings)
    if (url := settings.store.redis) is None:
        message = "listener and daemon meet in Redis; set it, or run both at once with `guard up`"
        raise ConfigError([Fault(str(DEFAULT_PATH), "store.url", message)])
    stack = ExitStack()
    stream = StreamSink(url)
    stack.callback(stream.close)
    stream.reach()
    sink = sinks(settings, stream, stack, seat.records if seat else None)
    made = front(settings, path, sink, stack, shape, seat)
    parts = Parts(
        listeners=made.servers,
        jobs=made.jobs,
        chores=[
            *made.chores,
            *door(settings, path, made.servers, stack, made.goods),
            *telling(settings, made.servers, seat.number if seat else 0, stack),
        ],
        reload=made.reload,
        close=stack.close,
    )
    return Assembled(parts=parts, settings=settings, servers=made.servers)
