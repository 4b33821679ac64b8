"""Keeps what clients say in an AUTH exchange out of everything that is written down.

Of such lines only a known mechanism's name survives: a client that forgets the mechanism, or goes
on with its exchange after a refusal, sends user name and password as if they were commands.
"""

from __future__ import annotations

import re

# IANA's SASL mechanism registry, and what Exchange and OpenVAS send.
_MECHANISM = re.compile(
    r"(?:ANONYMOUS|CRAM-MD5|DIGEST-MD5|EXTERNAL|GSSAPI|GSS-SPNEGO|KERBEROS_V[45]|LOGIN|MSN|NTLM"
    r"|OAUTHBEARER|OTP|PLAIN|S/?KEY|SECURID|SCRAM-[A-Z0-9-]{1,20}|GS2-[A-Z0-9-]{1,16}"
    r"|XOAUTH2?|XYMCOOKIE)",
    re.IGNORECASE | re.ASCII,
)
_USUAL = frozenset(("LOGIN", "NTLM", "PLAIN"))
_AUTH = re.compile(r"\W*auth\b\s*(\S*)", re.IGNORECASE)


def mechanism(name: str) -> str:
    """`name` where it is a known mechanism's, else `*`."""
    return name if name in _USUAL or _MECHANISM.fullmatch(name) else "*"


def redact(line: str, *, exchange: bool) -> str:
    """`line` as it may be written down; `exchange` when an AUTH was refused just before it."""
    found = _AUTH.match(line)
    if found:
        return f"AUTH {found[1]}" if _MECHANISM.fullmatch(found[1]) else "AUTH"
    return "AUTH" if exchange else line
