"""Which categories of AbuseIPDB stand for what was seen (abuseipdb.com/categories).

11 is Email Spam, 14 Port Scan, 15 Hacking, 18 Brute-Force, 22 SSH. Only what a kind says for sure:
a wrong category is a wrong report.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from guard.events import Kind
from guard.jails.jail import Jail

KINDS: Mapping[str, tuple[int, ...]] = {
    Kind.RELAY_DENIED: (11,),
    Kind.AUTH_UNSUPPORTED: (15, 18),
    Kind.AUTH_FAILED: (18,),
    Kind.COMMAND_UNIMPLEMENTED: (14,),
    Kind.SYNTAX_ERROR: (14,),
    Kind.NON_SMTP: (14,),
    Kind.SCANNER: (14,),
    Kind.EARLY_TALKER: (11,),
    Kind.BAD_SEQUENCE: (15,),
    Kind.LIMIT: (11,),
    Kind.OTHER: (),
}
# Text logs have no kinds: the filter's name, as fail2ban ships it, says what its lines mean.
FILTERS: Mapping[str, tuple[int, ...]] = {
    "sshd": (18, 22),
    "dovecot": (18,),
    "courier-auth": (18,),
    "cyrus-imap": (18,),
    "sieve": (18,),
    "sendmail-auth": (18,),
    "postfix-sasl": (18,),
    "exim": (11, 18),
    "exim-spam": (11,),
    "postfix": (11,),
    "sendmail-reject": (11,),
    "courier-smtp": (11,),
    "qmail": (11,),
    "haraka": (11,),
    "opensmtpd": (11,),
}


def categories(
    jail: Jail, seen: Iterable[str], overrides: Mapping[str, Sequence[int]]
) -> list[int]:
    """The categories of a ban by `jail` for kinds `seen`; none where there is nothing to tell.

    Kinds that the jail does not count say nothing of its ban; where none was seen on this host,
    all that it counts may have been.
    """
    if jail.name in overrides:
        return sorted(set(overrides[jail.name]))
    if not jail.kinds:
        return list(FILTERS.get(jail.filter.partition("[")[0], ()))
    table: dict[str, Sequence[int]] = {**KINDS, **overrides}
    counted = [kind for kind in seen if kind in jail.kinds] or sorted(jail.kinds)
    return sorted({number for kind in counted for number in table[kind]})


def unknown(overrides: Iterable[str], jails: Iterable[Jail]) -> list[str]:
    """Names of `overrides` that are neither a kind nor a jail."""
    names = {jail.name for jail in jails}
    return [name for name in overrides if name not in KINDS and name not in names]
