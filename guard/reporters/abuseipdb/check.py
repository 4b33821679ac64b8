"""What `guard check` says of `[report.abuseipdb]`. Opens the key file and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.jails.jail import Jail
from guard.lib.secrets import BadSecret, exposed, read_secret, unseen
from guard.reporters.abuseipdb.categories import categories, unknown
from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings

# Filters that read bans: who is banned for bans was reported for what brought those about.
OF_BANS = ("recidive", "guard")
Found = Iterator[tuple[str, str]]


def faults(settings: AbuseIpdbReportSettings) -> Found:
    """(key, message) for what cannot work."""
    if unseen(settings.credential):
        return
    try:
        read_secret(settings.key_file, settings.credential)
    except BadSecret as error:
        yield "credential" if settings.credential else "key_file", str(error)


def warnings(settings: AbuseIpdbReportSettings, jails: Sequence[Jail]) -> Found:
    """(key, message) for what may not be meant."""
    if why := exposed(settings.key_file):
        yield "key_file", why
    for name in unknown(settings.categories, jails):
        yield f'categories."{name}"', "is neither a kind of rejection nor a jail"
    for jail in jails:
        named = jail.name in settings.categories or jail.filter.partition("[")[0] in OF_BANS
        if not named and not categories(jail, (), settings.categories):
            yield "categories", f"has none for jail {jail.name}: its bans are not reported"
