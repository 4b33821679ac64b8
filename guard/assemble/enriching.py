"""Whom Guard asks about addresses: services, their quotas and threads, from `[check]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from guard.config import Settings
from guard.enrichment.abuseipdb import AbuseIpdb
from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed
from guard.enrichment.checks import Checks
from guard.enrichment.desk import Desk, Rationed, remembered_vetoes
from guard.enrichment.greynoise import GreyNoise
from guard.enrichment.memory import Memory
from guard.enrichment.settings import CheckSettings
from guard.enrichment.virustotal import VirusTotal
from guard.enrichment.zen import Zen
from guard.jails.files import load_jails
from guard.jails.jail import Jail
from guard.lib import clock
from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.lib.prefixes import PrefixMap
from guard.lib.secrets import BadSecret, Secret, exposed, read_secret, unseen
from guard.protect.dns import resolver
from guard.protect.protection import Protectors
from guard.protect.reserved import reserved
from guard.roles import ConfigError, Quotas
from guard.stores.quotas import open_quotas

LAYER = "vetoes"
_DQS = "zen.dq.spamhaus.net"


def checks(
    settings: Settings, jails: Iterable[Jail], protectors: Protectors, stack: ExitStack
) -> Checks | None:
    """The services that are on, or None; `stack` closes them. To be started by whoever asks."""
    if not settings.check.on:
        return None
    quotas = open_quotas(settings.store, settings.state.dir)
    stack.callback(quotas.close)
    widths = {4: settings.jails.ipv4_prefix, 6: settings.jails.ipv6_prefix}

    def key(network: Network) -> Network:
        return network.supernet(widths[network.version])

    def vetoed() -> None:
        made.vetoed()

    folder = settings.state.dir / "check"
    desks = [
        Desk(
            enricher,
            _memory(settings.check, enricher.name, folder),
            key=key,
            unasked=protectors.protects,
            vetoed=vetoed,
        )
        for enricher in _enrichers(settings.check, quotas)
    ]
    private = PrefixMap(reserved()).find if settings.protect.reserved else _nothing
    made = Checks(
        desks,
        jails,
        clock=clock.now,
        key=key,
        wait=settings.check.wait,
        vetoing=_vetoing(settings.check),
        private=private,
        protect=lambda entries: protectors.replace(LAYER, entries),
    )
    stack.callback(made.close)
    made.open()
    return made


@contextmanager
def checks_by_hand(settings: Settings) -> Iterator[Checks | None]:
    """The same for a command when no daemon runs."""
    with ExitStack() as stack:
        jails = load_jails(settings.jails.path, settings.jails.filters)
        made = checks(settings, jails, Protectors(), stack)
        if made is not None:
            made.start()
        yield made


def opinions(made: Checks | None) -> Callable[..., list[dict[str, Any]]]:
    """The verb by which `guard explain` asks."""
    return made.opinions if made is not None else _no_opinions


def _no_opinions(*, now: float, address: str) -> list[dict[str, Any]]:
    return []


def vetoes(settings: Settings, protectors: Protectors) -> None:
    """Protects whom a daemon's services have vetoed, for a command beside it."""
    found = []
    for name in _vetoing(settings.check):
        memory = _memory(settings.check, name, settings.state.dir / "check")
        memory.load(clock.now())
        found += remembered_vetoes(memory)
    protectors.replace(LAYER, found)


def _vetoing(settings: CheckSettings) -> list[str]:
    return ["greynoise"] if settings.greynoise.on and settings.greynoise.veto else []


def _nothing(network: Network) -> None:
    return None


def _memory(settings: CheckSettings, name: str, folder: Path) -> Memory:
    own = getattr(settings, name)
    return Memory(folder / f"{name}.json", settings.known, own.ttl, own.ttl_unknown)


def _enrichers(settings: CheckSettings, quotas: Quotas) -> Iterator[Rationed]:
    abuseipdb, virustotal = settings.abuseipdb, settings.virustotal
    greynoise, zen = settings.greynoise, settings.zen
    if abuseipdb.on:
        per_check = Allowance(quotas, "abuseipdb.check", abuseipdb.per_day)
        per_block = Allowance(quotas, "abuseipdb.check-block", abuseipdb.blocks_per_day)
        key = _key("AbuseIPDB", abuseipdb.key_file, abuseipdb.credential)
        yield AbuseIpdb(abuseipdb, key, per_check, per_block)
    if virustotal.on:
        allowance = Allowance(quotas, "virustotal", virustotal.per_day, virustotal.per_minute)
        key = _key("VirusTotal", virustotal.key_file, virustotal.credential)
        yield VirusTotal(virustotal, key, allowance)
    if greynoise.on:
        own = _key("GreyNoise", greynoise.key_file, greynoise.credential)
        allowance = Allowance(quotas, "greynoise", greynoise.per_day)
        yield GreyNoise(greynoise, own if greynoise.has_key else None, allowance)
    if zen.on:
        ask = resolver(zen.name_servers, zen.timeout)
        yield Zen(zone(settings), ask, Allowance(quotas, "zen", zen.per_day))


def zone(settings: CheckSettings) -> Callable[[], Secret]:
    """The zone that is asked; with a key it has that in its name."""
    zen = settings.zen
    if zen.key_file is None and not zen.credential:
        return lambda: Secret(zen.zone)
    key = _key("Spamhaus", zen.key_file, zen.credential)
    return lambda: Secret(f"{key().reveal()}.{_DQS}")


def _key(whose: str, path: Path | None, credential: str) -> Callable[[], Secret]:
    """Reads the key at each use, so that a new one counts from the next question."""

    def read() -> Secret:
        try:
            return read_secret(path, credential)
        except BadSecret as error:
            raise LookUpFailed(f"the key of {whose}, {error}") from None

    return read


def check_checks(settings: Settings, jails: Sequence[Jail], where: str) -> list[Fault]:
    """What `guard check` says: warnings; raises ConfigError for keys that cannot be read."""
    faults, warnings = [], []
    for name in settings.check.on:
        own = getattr(settings.check, name)
        if (own.key_file is None and not own.credential) or unseen(own.credential):
            continue
        try:
            read_secret(own.key_file, own.credential)
        except BadSecret as error:
            key = "credential" if own.credential else "key_file"
            faults.append(Fault(where, f"check.{name}.{key}", str(error)))
        if warning := exposed(own.key_file):
            warnings.append(Fault(where, f"check.{name}.key_file", warning))
    if faults:
        raise ConfigError(faults)
    return [*warnings, *_off(settings.check, where), *_idle(settings.check, jails, where)]


def _off(settings: CheckSettings, where: str) -> Iterator[Fault]:
    """Services with a key that are asked nothing all the same."""
    for name in ("greynoise", "zen"):
        own = getattr(settings, name)
        if not own.on and (own.key_file is not None or own.credential):
            yield Fault(where, f"check.{name}.enabled", "is false: its key is used for nothing")


def _idle(settings: CheckSettings, jails: Sequence[Jail], where: str) -> Iterator[Fault]:
    """Conditions of jails that change nothing."""
    for jail in jails:
        for condition in jail.conditions:
            what = f"{condition.name}.score of jail {jail.name}"
            if condition.name not in settings.on:
                yield Fault(where, f"check.{condition.name}", f"is off: {what} never holds")
            elif condition.maxretry > 1 and condition.maxretry >= jail.window.maxretry:
                message = f"{what} changes nothing: its maxretry is {jail.window.maxretry} for all"
                yield Fault(where, f"check.{condition.name}", message)
