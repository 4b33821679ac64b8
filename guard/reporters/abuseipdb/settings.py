"""Settings of `[report.abuseipdb]`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from guard.lib.fields import Duration, FilePath
from guard.lib.secrets import api_fault, place_faults

URL = "https://api.abuseipdb.com/api/v2"
MOST_CATEGORIES = 30
_LEAST = {"per_day": 1, "bulk_from": 1, "bulk_per_day": 0, "clear_per_day": 0}


@dataclass(frozen=True, kw_only=True)
class AbuseIpdbReportSettings:
    """`credential` names a systemd credential in place of `key_file`.

    `after` is how long a ban waits before it is told, so that one taken back by hand never is.
    `per_day`, `bulk_per_day` and `clear_per_day` are what the plan allows all who share the key;
    `bulk_from` reports have to wait before a file of them is sent. `categories` has, by kind of
    rejection or by name of a jail, other categories than ours; none means that it is not told.
    """

    key_file: FilePath | None = None
    credential: str = ""
    dry_run: bool = False
    after: Duration = 300.0
    per_day: int = 1000
    bulk_per_day: int = 5
    bulk_from: int = 20
    clear_per_day: int = 5
    categories: dict[str, tuple[int, ...]] = field(default_factory=dict)
    contact: str = ""
    proxy: str = field(default="", repr=False)  # may hold a password
    timeout: Duration = 30.0
    url: str = URL

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single value shows: (key, message)."""
        if fault := place_faults(self.key_file, self.credential):
            yield "key_file", fault
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                yield name, f"must be at least {least}"
        if self.after > 86400:
            yield "after", "must be at most 1d"
        if not 1 <= self.timeout <= 300:
            yield "timeout", "must be from 1s to 5m"
        for name, numbers in self.categories.items():
            if len(numbers) > MOST_CATEGORIES or not all(1 <= n <= 23 for n in numbers):
                yield f'categories."{name}"', "has to have categories of AbuseIPDB, 1 to 23"
        if fault := api_fault(self.url):
            yield "url", fault
