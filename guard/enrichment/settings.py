"""Settings of `[check]`: whom Guard asks about an address. Everything is off by default."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from guard.lib.fields import Duration, FilePath, Listen, server_fault
from guard.lib.secrets import api_fault, place_faults

LONGEST_WAIT = 20.0  # the command waits 30 s for the daemon
_ZONE = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+\.?", re.ASCII | re.IGNORECASE)
# They ask for everybody, so that Spamhaus refuses to answer them (127.255.255.254).
PUBLIC = frozenset(
    (
        "1.0.0.1", "1.1.1.1", "8.8.4.4", "8.8.8.8", "9.9.9.9", "149.112.112.112",
        "208.67.220.220", "208.67.222.222", "2001:4860:4860::8844", "2001:4860:4860::8888",
        "2606:4700:4700::1001", "2606:4700:4700::1111", "2620:fe::9", "2620:fe::fe",
    )
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Common:
    """Of every service: `per_day` questions in a day of UTC, all hosts of a store together.

    An answer holds for `ttl`; that a service has not heard of an address, for `ttl_unknown`.
    """

    per_day: int
    ttl: Duration = 86400.0
    ttl_unknown: Duration = 21600.0
    timeout: Duration = 5.0

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if self.per_day < 1:
            yield "per_day", "must be at least 1"
        for key, value in (("ttl", self.ttl), ("ttl_unknown", self.ttl_unknown)):
            if value < 60:
                yield key, "must be at least 1m"
        if not 0.5 <= self.timeout <= 30:
            yield "timeout", "must be from 0.5s to 30s"


@dataclass(frozen=True, kw_only=True)
class Keyed(Common):
    """A service over HTTP with a key, in `key_file` or the systemd credential `credential`."""

    key_file: FilePath | None = None
    credential: str = ""
    url: str
    contact: str = ""
    proxy: str = field(default="", repr=False)  # may hold a password

    @property
    def has_key(self) -> bool:
        """Whether a key is named."""
        return self.key_file is not None or bool(self.credential)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        yield from _key_faults(self.key_file, self.credential)
        if fault := api_fault(self.url):
            yield "url", fault


def _key_faults(path: Path | None, credential: str) -> Iterator[tuple[str, str]]:
    if (path or credential) and (fault := place_faults(path, credential)):
        yield "key_file", fault


@dataclass(frozen=True, kw_only=True)
class AbuseIpdbCheck(Keyed):
    """AbuseIPDB. `max_age` is days; `widest` is what the plan allows for a block of IPv4."""

    per_day: int = 1000
    blocks_per_day: int = 100
    url: str = "https://api.abuseipdb.com/api/v2"
    max_age: int = 30
    widest: int = 24

    @property
    def on(self) -> bool:
        """Whether it is asked."""
        return self.has_key

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if self.blocks_per_day < 1:
            yield "blocks_per_day", "must be at least 1"
        if not 1 <= self.max_age <= 365:
            yield "max_age", "must be from 1 to 365 days"
        if not 16 <= self.widest <= 32:
            yield "widest", "must be from 16 to 32"


@dataclass(frozen=True, kw_only=True)
class VirusTotalCheck(Keyed):
    """Google Threat Intelligence, or VirusTotal with its public key: `per_minute` is its pace."""

    per_day: int = 500
    per_minute: int = 4
    url: str = "https://www.virustotal.com/api/v3"

    @property
    def on(self) -> bool:
        """Whether it is asked."""
        return self.has_key

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        if self.per_minute < 1:
            yield "per_minute", "must be at least 1"


@dataclass(frozen=True, kw_only=True)
class GreyNoiseCheck(Keyed):
    """GreyNoise's community API, also without a key. `veto`: what it calls RIOT is protected."""

    enabled: bool = False
    per_day: int = 50
    url: str = "https://api.greynoise.io/v3/community"
    veto: bool = True

    @property
    def on(self) -> bool:
        """Whether it is asked."""
        return self.enabled


@dataclass(frozen=True, kw_only=True)
class ZenCheck(Common):
    """Spamhaus ZEN by DNS. With a key (Data Query Service) the zone is made from it.

    `name_servers` are asked (none: those of resolv.conf); a public resolver gets no answers.
    """

    enabled: bool = False
    per_day: int = 10_000
    ttl: Duration = 3600.0
    ttl_unknown: Duration = 3600.0
    zone: str = "zen.spamhaus.org"
    key_file: FilePath | None = None
    credential: str = ""
    name_servers: tuple[Listen, ...] = ()

    @property
    def on(self) -> bool:
        """Whether it is asked."""
        return self.enabled

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        yield from super().faults()
        yield from _key_faults(self.key_file, self.credential)
        if not _ZONE.fullmatch(self.zone):
            yield "zone", f"{self.zone!r} is not a zone such as zen.spamhaus.org"
        for index, server in enumerate(self.name_servers):
            key = f"name_servers[{index}]"
            if fault := server_fault(server):
                yield key, fault
            elif server.host in PUBLIC and not self.key_file and not self.credential:
                yield key, f"{server.host} is a public resolver, which Spamhaus does not answer"


@dataclass(frozen=True, kw_only=True)
class CheckSettings:
    """`wait` is how long `guard explain` waits for all; `known` answers are kept of each."""

    wait: Duration = 4.0
    known: int = 20_000
    abuseipdb: AbuseIpdbCheck = field(default_factory=AbuseIpdbCheck)
    virustotal: VirusTotalCheck = field(default_factory=VirusTotalCheck)
    greynoise: GreyNoiseCheck = field(default_factory=GreyNoiseCheck)
    zen: ZenCheck = field(default_factory=ZenCheck)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if not 0 < self.wait <= LONGEST_WAIT:
            yield "wait", f"must be more than nothing, and at most {LONGEST_WAIT:g}s"
        if self.known < 1:
            yield "known", "must be at least 1"

    @property
    def on(self) -> list[str]:
        """The names of those that are asked."""
        every = ("abuseipdb", "virustotal", "greynoise", "zen")
        return [name for name in every if getattr(self, name).on]
