"""Claims as they lie in Redis: which keys, and what a claim looks like in its hash.

docs/redis.md is the contract. Anybody may have written there: what is no claim is passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import msgspec

from guard.events import Claim
from guard.lib.networks import Network, parse_network, read_address

log = logging.getLogger("guard.stores")

PREFIX = "guard:{ledger}:"
CLAIMS = PREFIX + "claims:"
_NAMES = ("ends", "strikes", "struck", "sources", "changes", "schema")
KEYS = tuple(PREFIX + name for name in _NAMES)
ENDS, STRIKES, STRUCK, SOURCES, CHANGES, SCHEMA = KEYS
SCHEMA_VERSION = b"1"
_json = msgspec.json.Encoder().encode


class Stored(msgspec.Struct, frozen=True):
    """A claim as it lies in its hash, under its network."""

    since: float
    until: float | None
    strikes: int
    reason: str


_read_claim = msgspec.json.Decoder(Stored).decode


def claims_of(source: str, held: Mapping[bytes, bytes], now: float) -> Iterator[Claim]:
    """The live ones among the claims of a hash."""
    for text, value in held.items():  # perhaps a million
        try:
            word = text.decode()
            network = parse_network(word) if "/" in word else read_address(word)
            said = _read_claim(value)
        except ValueError:  # msgspec's is one
            _pass_over(source, text)
            continue
        until = said.until
        if until is None or until > now:
            yield Claim(network, source, said.reason, said.since, until, said.strikes)


def claim_of(source: str, network: Network, value: bytes, now: float) -> Claim | None:
    """The claim on `network`, while it is live; what is none was written by somebody else."""
    try:
        said = _read_claim(value)
    except msgspec.MsgspecError:
        _pass_over(source, str(network))
        return None
    if said.until is not None and said.until <= now:
        return None
    return Claim(network, source, said.reason, said.since, said.until, said.strikes)


def _pass_over(source: str, text: str | bytes) -> None:
    log.warning("passed over what is no claim in %s, under %.80r", CLAIMS + source, text)


def stored(claim: Claim) -> bytes:
    """The JSON of a claim; the scripts read and write this order of members."""
    return _json(Stored(claim.since, claim.until, claim.strikes, claim.reason))


def differ(old: bytes, new: bytes) -> bool:
    """Whether a claim says anything new; that its list was read again is nothing new."""
    try:
        before, after = _read_claim(old), _read_claim(new)
    except msgspec.MsgspecError:
        return True
    return (before.until, before.reason) != (after.until, after.reason)
