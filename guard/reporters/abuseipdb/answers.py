"""What AbuseIPDB's answers mean (docs.abuseipdb.com, "Error Handling", "Bulk Reporting"). Pure.

Its text decides where a status is ambiguous: 429 is the day's quota, a rate, or an address that was
reported within 15 minutes, which has been 403 and 422 too. Without `Accept: application/json`, or
from something in between, an error is a page of HTML: then its status alone counts. A success that
is no JSON of theirs is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec

from guard.lib.logs import printable
from guard.lib.secrets import Secret
from guard.lib.webcall import Answer

DAY = 86400.0
RATE_PAUSE = 60.0
LONGEST_RATE = 3600.0  # beyond, Retry-After speaks of the day and not of a rate


class Meaning(Enum):
    """What an answer says of what was asked."""

    TAKEN = "taken"
    DUPLICATE = "reported within 15 minutes"
    SPENT = "the day's quota is spent"
    SLOW = "too fast"
    REFUSED_KEY = "does not take the key"
    PLAN = "the plan does not allow it"
    INVALID = "not valid"
    FAILED = "failed"


class Verdict(msgspec.Struct, frozen=True):
    """`wait` is how many seconds to stay away, `text` what the operator is told."""

    meaning: Meaning
    text: str = ""
    wait: float = 0.0


class _Error(msgspec.Struct):
    detail: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error] = []


class _Anything(msgspec.Struct):
    data: dict[str, Any]


_errors = msgspec.json.Decoder(_Errors).decode
_taken = msgspec.json.Decoder(_Anything).decode
_STATUS = {
    401: Meaning.REFUSED_KEY,
    402: Meaning.PLAN,
    403: Meaning.REFUSED_KEY,
    422: Meaning.INVALID,
    429: Meaning.SLOW,
}
_TEXTS = (
    ("once in 15 minutes", Meaning.DUPLICATE),
    ("same ip address", Meaning.DUPLICATE),
    ("daily rate limit", Meaning.SPENT),
    ("daily limit", Meaning.SPENT),
)


def judge(answer: Answer, key: Secret, now: float) -> Verdict:
    """What `answer` means."""
    if answer.good and _spoke(answer.body):
        return Verdict(Meaning.TAKEN)
    said = details(answer.body)
    meaning = _meaning(answer, said)
    wait = answer.wait(now)
    if meaning is Meaning.SLOW and wait > LONGEST_RATE:
        meaning = Meaning.SPENT
    if meaning is Meaning.SPENT:
        wait = _until_reset(answer, now)
    elif meaning is Meaning.SLOW:
        wait = max(wait, RATE_PAUSE)
    text = f"AbuseIPDB answers {answer.status}"
    if answer.good:
        text += ", but not in its own words: something on the way does"
    elif said:
        text += f": {printable(key.scrub(said))[:200]}"
    return Verdict(meaning, text, wait)


def _meaning(answer: Answer, said: str) -> Meaning:
    lowered = said.lower()
    for words, meaning in _TEXTS:
        if words in lowered:
            return meaning
    if answer.status == 429 and answer.number("x-ratelimit-remaining") == 0:
        return Meaning.SPENT
    return _STATUS.get(answer.status, Meaning.FAILED)


def _spoke(body: bytes) -> bool:
    """Whether this is what AbuseIPDB says of what it took, and no page of a proxy's."""
    try:
        _taken(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False
    return True


def details(body: bytes) -> str:
    """What the errors say, nothing where there are none."""
    try:
        return "; ".join(error.detail for error in _errors(body).errors[:3])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def _until_reset(answer: Answer, now: float) -> float:
    """Until the service counts anew: as it says, or else until the next day of UTC."""
    reset = answer.number("x-ratelimit-reset")
    if reset is not None and 0 < reset - now <= DAY + 60:
        return reset - now
    return min(answer.wait(now), DAY) or DAY - now % DAY


class _Invalid(msgspec.Struct):
    error: str = ""
    input: str = ""


class _Saved(msgspec.Struct):
    savedReports: int = 0  # noqa: N815  the API's name
    invalidReports: list[_Invalid] = []  # noqa: N815  the API's name


class _Bulk(msgspec.Struct):
    data: _Saved


class Sorted(msgspec.Struct, frozen=True):
    """What became of the lines of a file: addresses, and of the refused ones why."""

    saved: int
    duplicates: list[str]
    refused: dict[str, str]


_bulk = msgspec.json.Decoder(_Bulk).decode


def sort(body: bytes, addresses: Sequence[str]) -> Sorted | None:
    """What a bulk answer says of `addresses`; None when it cannot be read."""
    try:
        data = _bulk(body).data
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    ours, duplicates, refused = set(addresses), [], {}
    for invalid in data.invalidReports:
        if invalid.input not in ours:
            continue
        if "duplicate" in invalid.error.lower():
            duplicates.append(invalid.input)
        else:
            refused[invalid.input] = printable(invalid.error)[:100]
    return Sorted(data.savedReports, duplicates, refused)


class _Cleared(msgspec.Struct):
    numReportsDeleted: int = 0  # noqa: N815  the API's name


class _Clear(msgspec.Struct):
    data: _Cleared


_clear = msgspec.json.Decoder(_Clear).decode


def cleared(body: bytes) -> int:
    """How many reports were taken back; 0 when it cannot be read."""
    try:
        return _clear(body).data.numReportsDeleted
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return 0
