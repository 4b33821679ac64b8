"""Who is told of bans: made from `[report]`, run beside the ban path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from guard.assemble.deciding import jails, protection
from guard.chronicle import Told
from guard.config import Settings
from guard.lib import clock
from guard.lib.beside import Beside
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.parts import Job
from guard.protect.watch import Watch
from guard.reporters import outbox as outboxes
from guard.reporters.abuseipdb import check
from guard.reporters.abuseipdb.api import Api
from guard.reporters.abuseipdb.desk import Desk
from guard.reporters.abuseipdb.fitness import Fitness, Held, Protects
from guard.reporters.abuseipdb.intake import Intake
from guard.reporters.abuseipdb.rules import Rules
from guard.reporters.abuseipdb.sender import Sender
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.reporters.outbox import Outbox
from guard.roles import BadInput, ConfigError
from guard.stores.database import open_file
from guard.stores.quotas import open_quotas
from guard.stores.redis_store import RedisStore

Verb = Callable[..., Any]
ABSENT = "[report.abuseipdb] is not configured: nothing is reported; see docs/reporting.md"


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """Who hears of bans, what runs beside, and the verbs of `guard report`."""

    told: Sequence[Told] = ()
    jobs: Sequence[Job] = ()
    verbs: Mapping[str, Verb]


class _Work:
    """The job: two threads, and a row for the status."""

    def __init__(self, threads: Beside, desk: Desk) -> None:
        self._threads, self._desk = threads, desk

    async def run(self) -> None:
        """Runs them."""
        await self._threads.run()

    def tell(self) -> dict[str, Any]:
        """The row."""
        return self._desk.tell()


def reporting(
    settings: Settings,
    key: Callable[[Network], Network],
    protects: Protects,
    stack: ExitStack,
) -> Reporting:
    """The reporters of `settings`; `key` is the network that an address is counted under."""
    own = settings.report.abuseipdb
    if own is None:
        return Reporting(verbs=dict.fromkeys(_VERBS, _absent))
    sender = _sender(settings, own, protects, stack)
    desk = Desk(sender, clock.now)
    intake = Intake(own, sender.outbox, jails(settings), key)
    threads = Beside("report", [desk.kept(intake.keep), desk.turn], clock.now)
    intake.wake = threads.wake
    # What came in the last moments is on disk before the outbox is closed.
    stack.callback(lambda: intake.keep(clock.now()))
    return Reporting(told=[intake], jobs=[Job("report", _Work(threads, desk))], verbs=_verbs(desk))


def _sender(
    settings: Settings, own: AbuseIpdbReportSettings, protects: Protects, stack: ExitStack
) -> Sender:
    file = open_file(settings.state.dir / "outbox.db", outboxes.SCHEMA, outboxes.VERSION)
    outbox = Outbox(file)
    stack.callback(outbox.close)
    quotas = open_quotas(settings.store, settings.state.dir)
    stack.callback(quotas.close)
    ports = settings.firewall.ports
    return Sender(
        own,
        outbox,
        Rules(own, quotas),
        Api(own),
        Fitness(outbox, protects, _held(settings, stack)),
        () if isinstance(ports, str) else ports,
    )


def _held(settings: Settings, stack: ExitStack) -> Held:
    """Asks the ledger of a fleet, by a connection of its own; a host alone hears of un-bans."""
    if (url := settings.store.redis) is None:
        return lambda network, now: True
    store = RedisStore(url)
    stack.callback(store.close)
    return lambda network, now: bool(store.ledger.past([network], now)[0].claims)


_VERBS = ("report_list", "report_send", "report_clear")


def _verbs(desk: Desk) -> dict[str, Verb]:
    return dict(zip(_VERBS, (desk.rows, desk.send, desk.clear), strict=True))


def _absent(**arguments: Any) -> Any:
    raise BadInput(ABSENT)


def check_reports(settings: Settings, where: str) -> list[Fault]:
    """Warnings on `[report]`. Raises ConfigError with its faults."""
    own = settings.report.abuseipdb
    if own is None:
        return []
    found = [Fault(where, f"report.abuseipdb.{key}", text) for key, text in check.faults(own)]
    if found:
        raise ConfigError(found)
    warned = check.warnings(own, jails(settings))
    return [Fault(where, f"report.abuseipdb.{key}", text) for key, text in warned]


@contextmanager
def reports_by_hand(settings: Settings) -> Iterator[Mapping[str, Verb]]:
    """The verbs, for a command when no daemon runs."""
    own = settings.report.abuseipdb
    if own is None:
        raise BadInput(ABSENT)
    protectors = protection(settings)
    Watch(settings.protect, protectors, settings.state.dir).near(clock.now())
    with ExitStack() as stack:
        yield _verbs(Desk(_sender(settings, own, protectors.protects, stack), clock.now))
