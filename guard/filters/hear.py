"""What a log record says to Guard: a refusal, a sign of good standing, or nothing.

One reading for KumoMTA's logs of every release, our listener's own records and webhooks. The
address comes from `peer_address.addr` (`auth_info.peer_address` in an accounting record) and
nothing else; what the peer wrote only helps to find the kind. Keeps nothing and never raises.
"""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from math import nan

from guard.events import Acceptance, Event, Kind, Rejection
from guard.filters.classify import classify
from guard.lib.networks import canonical_address
from guard.records import Heard, HeardResponse

# docs.kumomta.com, log record, and crates/kumo-log-types at 2026-08; Authentication is of kumo.aaa.
TYPES = frozenset(
    (
        "Reception",
        "Delivery",
        "Bounce",
        "TransientFailure",
        "Expiration",
        "AdminBounce",
        "OOB",
        "Feedback",
        "Rejection",
        "AdminRebind",
        "DeferredInjectionRebind",
        "XferOut",
        "XferIn",
        "Delayed",
        "Authentication",
    )
)
HEARD = frozenset(("Rejection", "Reception", "Delivery", "Authentication"))

# One record never counts for more: a hundred such records are noise, one would be an accident.
MAX_COUNT = 1_000_000
_LATEST = 253_402_300_800.0  # the year 10000
_KINDS = {kind.value: kind for kind in Kind}
_NO_RESPONSE = HeardResponse()
# How records travel inside KumoMTA on their way to a webhook (assets/policy-extras/log_hooks.lua).
_LOG_HOOK = "LogRecord"


def event_of(heard: Heard, id_: str = "") -> Event | None:
    """The event that `heard` is, or None: its type says nothing about a peer, or `fault` says why.

    A Reception or Delivery of KumoMTA's log hooks, which is no mail, is nothing, and so is the
    delivery of a bounce. `id_` becomes the id of a rejection, for a source that may repeat itself.
    """
    type_, peer = heard.type, heard.peer_address
    if type_ not in HEARD or heard.reception_protocol == _LOG_HOOK:
        return None
    if type_ == "Delivery" and heard.sender == "":
        # A bounce goes where a stranger's MAIL FROM said: it would make his host a good one.
        return None
    address = _address(peer.addr if peer and type_ != "Authentication" else _claimed(heard))
    time = _time(heard)
    if not address or not time:
        return None
    if type_ == "Rejection":
        count = heard.count
        if not 1 <= count <= MAX_COUNT:
            count = min(max(count, 1), MAX_COUNT)
        return Rejection(time, address, _kind(heard), count, "", id_)
    if type_ == "Authentication" and not heard.success:
        return Rejection(time, address, Kind.AUTH_FAILED, id=id_)
    return Acceptance(time, address, _how(heard))


def fault(heard: Heard) -> str | None:
    """Why `heard`, of which `event_of` made nothing, could not be used; None when that is right."""
    if heard.type not in HEARD or heard.reception_protocol == _LOG_HOOK:
        return None if heard.type in TYPES else "unknown type"
    claimed = _claimed(heard)
    if not claimed:
        # A delivery into a file or by HTTP has no peer.
        return "no address" if heard.type == "Rejection" else None
    if not _address(claimed):
        return "bad address"
    return None if _time(heard) else "bad time"


def _claimed(heard: Heard) -> str | None:
    if heard.type == "Authentication":
        return heard.auth_info.peer_address if heard.auth_info else None
    return heard.peer_address.addr if heard.peer_address else None


def _kind(heard: Heard) -> Kind:
    kind = _KINDS.get(heard.kind) if heard.kind else None
    if kind is not None:
        return kind
    reply = heard.response or _NO_RESPONSE
    name = heard.peer_address.name if heard.peer_address else None
    return classify(reply.code, reply.enhanced_code, reply.content or "", reply.command, name or "")


def _how(heard: Heard) -> str:
    if heard.type == "Delivery":
        return "delivery"
    known = heard.type == "Authentication" or (heard.meta and heard.meta.authz_id)
    return "auth" if known else "mail"


@lru_cache(maxsize=65536)
def _address(text: str | None) -> str:
    """`text` as every part of Guard writes this address; empty when it is none."""
    if not text:
        return ""
    try:
        return canonical_address(text)
    except ValueError:
        return ""


def _time(heard: Heard) -> float:
    """Seconds since the epoch; 0.0 when the record does not say.

    `event_time` (since 2025.10.06) has the fraction. It is text, so that it only adds to
    `timestamp` where both name the same second, and stands in for it where there is none.
    """
    stamp, text = heard.timestamp, heard.event_time
    if isinstance(stamp, str):
        return _moment(stamp)
    if not 0 < stamp < _LATEST:
        return _moment(text) if text and not stamp else 0.0
    if text is None or heard.type != "Rejection":
        return stamp
    try:
        exact = _minute(text[:17]) + float(text[17:-1])
    except ValueError:
        return stamp
    return exact if 0 <= exact - stamp < 1 else stamp


@lru_cache(maxsize=4096)
def _minute(text: str) -> float:
    """The beginning of the minute that an `event_time` names with `text`, or no number."""
    try:
        return datetime.fromisoformat(f"{text[:16]}:00Z").timestamp()
    except ValueError:
        return nan


def _moment(text: str) -> float:
    """The moment that `text` (RFC 3339) names; 0.0 when it names none or one before 1970."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp()) if moment.tzinfo else 0.0
