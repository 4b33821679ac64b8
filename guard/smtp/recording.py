"""The log records of one session: KumoMTA's members, our `kind`.

The address comes from the socket alone; what the peer wrote stands only in the members that are
meant for it, and nothing of an AUTH exchange stands anywhere (redact.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import lru_cache

from msgspec import UNSET

from guard.events import Kind
from guard.filters.classify import classify
from guard.records import PeerAddress, Record, Response
from guard.smtp.listener import Peer, Tls
from guard.smtp.replies import Reply

_ACCEPTED = Response(250)
# KumoMTA's member for who logged in. The name itself is written nowhere.
_KNOWN = {"authz_id": "-"}


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@lru_cache(maxsize=4)  # many sessions are served at one time
def rfc3339(now: float) -> str:
    """`now` in UTC with nine decimals, as KumoMTA writes `event_time`."""
    seconds = int(now)
    return f"{_second(seconds)}.{int((now - seconds) * 1e9):09d}Z"


class Recorder:
    """Makes the records of one session. `tls` is set once the connection is encrypted."""

    __slots__ = ("_id", "_ids", "_nodeid", "_peer", "tls")

    def __init__(self, peer: Peer, nodeid: str, ids: Callable[[], str]) -> None:
        """`ids` names sessions (ids.py)."""
        self._peer, self._nodeid, self._ids = peer, nodeid, ids
        self._id = ""
        self.tls: Tls | None = None

    @property
    def session_id(self) -> str:
        """A UUID, made when the first record needs it: most health checks never do."""
        if not self._id:
            self._id = self._ids()
        return self._id

    def rejection(
        self,
        now: float,
        reply: Reply,
        command: str | None,
        *,
        name: str,
        sender: str = "",
        recipient: str = "",
        kind: Kind | None = None,
    ) -> Record:
        """A 4xx or 5xx reply to `command`; `name` is the peer's EHLO name."""
        kind = kind or classify(reply.code, reply.enhanced, reply.content, command, name)
        content = reply.content.replace("\n", " ")
        seconds, text = int(now), rfc3339(now)
        return Record(
            type="Rejection",
            sender=sender,
            recipient=recipient,
            response=Response(reply.code, reply.enhanced, content, command),
            peer_address=PeerAddress(name, self._peer.text),
            timestamp=seconds,
            event_time=text,
            created=seconds,
            created_time=text,
            nodeid=self._nodeid,
            session_id=self.session_id,
            kind=str(kind),
        )

    def reception(
        self,
        now: float,
        *,
        name: str,
        id_: str,
        sender: str,
        recipients: Sequence[str],
        queue: str,
        size: int,
        protocol: str,
        known: bool = False,
    ) -> Record:
        """A message that was accepted. `known`: of somebody who has logged in."""
        seconds, text = int(now), rfc3339(now)
        return Record(
            type="Reception",
            id=id_,
            sender=sender,
            recipient=recipients[0] if len(recipients) == 1 else list(recipients),
            queue=queue,
            size=size,
            response=_ACCEPTED,
            peer_address=PeerAddress(name, self._peer.text),
            timestamp=seconds,
            event_time=text,
            created=seconds,
            created_time=text,
            reception_protocol=protocol,
            meta=_KNOWN if known else {},
            nodeid=self._nodeid,
            tls_cipher=self.tls.cipher if self.tls else UNSET,
            tls_protocol_version=self.tls.version if self.tls else UNSET,
            session_id=self.session_id,
        )
