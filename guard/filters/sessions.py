"""Joins the lines of one session, such as those of one sshd process (fail2ban's F-MLFID).

An expression that captures a session's id merges what it captured with what earlier lines of that
session said: one line has the address, another the failure. `F-NOFAIL` lines only add knowledge,
`F-MLFGAINED` says that the peer got in after all, `F-MLFFORGET` that the session is over.

Remembers at most MOST sessions, each for LONGEST seconds: strangers choose how many there are.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from guard.filters.expressions import Groups

MOST = 100
LONGEST = 300.0
_IDENTITIES = ("fid", "ip4", "ip6", "dns")
_FLAGS = ("nofail", "mlfgained", "mlfforget", "mlfid")


@dataclass(slots=True)
class _Session:
    """What the lines of one session said so far."""

    since: float
    groups: Groups = field(default_factory=dict)
    users: set[str] = field(default_factory=set)
    pending: bool = False  # a failure was seen before an address was


class Sessions:
    """The sessions of one filter."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def merge(self, groups: Groups, now: float) -> Groups | None:
        """What is known of an offender after this match, or None when it is no failure (yet)."""
        key = groups.get("mlfid")
        gained, nofail = bool(groups.get("mlfgained")), bool(groups.get("nofail"))
        if key is None:
            return None if gained or nofail else groups
        session = self._session(key, now, forget=bool(groups.get("mlfforget")))
        if gained:
            session.pending = False
        if groups.get("user") and len(session.users) < 2:
            session.users.add(groups["user"] or "")
        session.groups.update(
            {name: text for name, text in groups.items() if text is not None and name not in _FLAGS}
        )
        # Somebody who tried two accounts failed, whatever came of the second.
        failed = session.pending or len(session.users) > 1
        session.pending = False
        if (gained or nofail) and not failed:
            return None
        if not any(session.groups.get(name) for name in _IDENTITIES):
            session.pending = True
            return None
        return dict(session.groups)

    def _session(self, key: str, now: float, *, forget: bool) -> _Session:
        """The session `key`; a new one where it is unknown or too old, not kept if `forget`."""
        session = self._sessions.get(key)
        if session is None or now - session.since > LONGEST:
            session = _Session(now)
            if not forget:
                self._sessions[key] = session
        if forget:
            self._sessions.pop(key, None)
        while len(self._sessions) > MOST:
            self._sessions.popitem(last=False)
        return session
