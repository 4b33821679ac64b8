"""What flows through Guard, as frozen values: rejections in, offences, claims, blocks out.

    Rejection -> Offence -> Overflow -> Claim -> Block
    (a source)   (a jail)   (counters)   (ledger) (kernel)

Times are seconds since the epoch, lengths of time are seconds; `until` None is for ever. Events are
made by the hundred thousand a second, which msgspec's structs do several times faster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import msgspec

from guard.lib.networks import Network


class Kind(StrEnum):
    """Why a peer was refused: the one vocabulary of listener, logs, jails and reports."""

    RELAY_DENIED = "relay_denied"
    AUTH_UNSUPPORTED = "auth_unsupported"
    AUTH_FAILED = "auth_failed"
    COMMAND_UNIMPLEMENTED = "command_unimplemented"
    SYNTAX_ERROR = "syntax_error"
    NON_SMTP = "non_smtp"
    SCANNER = "scanner"
    EARLY_TALKER = "early_talker"
    BAD_SEQUENCE = "bad_sequence"
    LIMIT = "limit"
    OTHER = "other"


class Rejection(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """A server refused something that `address` asked for, `count` times in a row.

    `address` is canonical text taken from a structured field, never from what the peer wrote.
    `kind` is None only for a line of a text log, which `filter` (the name of a filter) matched.
    `id` is unique where the source can repeat itself, else empty.
    """

    time: float
    address: str
    kind: Kind | None
    count: int = 1
    filter: str = ""
    id: str = ""


class Acceptance(msgspec.Struct, frozen=True, gc=False, array_like=True, tag=True):
    """`address` did something only a legitimate peer does; `how` is mail, auth or delivery."""

    time: float
    address: str
    how: str


Event = Rejection | Acceptance


class Good(NamedTuple):
    """`network` showed last at `time` that it is legitimate; `how` is that of an Acceptance."""

    network: Network
    time: float
    how: str


class Permit(NamedTuple):
    """An operator lets `network` in by hand, until then."""

    network: Network
    since: float
    until: float | None
    reason: str


# Between the names of jails that count the same rejection; no jail has it in its name.
JOIN = "+"


class Window(NamedTuple):
    """A jail's threshold: `maxretry` rejections within `findtime` seconds.

    `span` is the longest findtime of all jails that may share an offence with this one, for they
    are counted in one place; 0 is that of this jail.
    """

    maxretry: int
    findtime: float
    span: float = 0.0


class Offence(NamedTuple):
    """What a jail counts: so many `rejections` of `network` at `time`.

    `jail` may name several with JOIN between, which is the same as an offence for each in turn.
    """

    jail: str
    network: Network
    time: float
    rejections: int = 1


class Suspicion(NamedTuple):
    """Somebody else knows an address as an offender: `maxretry` rejections of it are enough.

    `why` says who, in a few words of ours.
    """

    maxretry: int
    why: str


class Mark(NamedTuple):
    """How far `source` had been heard when a batch was counted; `place` is its own word for it."""

    source: str
    place: bytes


class Part(NamedTuple):
    """Offences that are counted by the same windows."""

    offences: Sequence[Offence]
    windows: Mapping[str, Window]


class Batch(NamedTuple):
    """What is counted at once: wholly or not at all, and with `mark`, once whatever happens.

    `settled` says that what came of every overflow told so far is in the ledger.
    """

    parts: Sequence[Part] = ()
    mark: Mark | None = None
    settled: bool = False


class Overflow(NamedTuple):
    """A window that filled at `time`, with the `rejections` that it then held."""

    jail: str
    network: Network
    time: float
    rejections: int


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Somebody's reason to block `network`.

    `source` is `jail:NAME`, `feed:NAME` or `manual`; one source has one claim on a network.
    `strikes` counts the claims that jails made on this network so far, this one included; it is 0
    where the source is no jail.
    """

    network: Network
    source: str
    reason: str
    since: float
    until: float | None
    strikes: int = 0


class Past(NamedTuple):
    """What the ledger knows of exactly one network: its live claims, and strikes by source."""

    claims: tuple[Claim, ...]
    strikes: Mapping[str, int]


class Ended(NamedTuple):
    """Some of the claims that were ended together; `held` are those of their networks that are
    claimed by somebody else still, or once more.
    """

    claims: list[Claim]
    held: frozenset[Network]


class Remembered(NamedTuple):
    """Strikes of a network by source, and when its last ban ends or ended; None is never."""

    network: Network
    strikes: Mapping[str, int]
    ended: float | None


class Block(NamedTuple):
    """What the kernel is to hold: a network, and when it ends."""

    network: Network
    until: float | None


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a service of somebody else says of a network.

    `score` is 0 (harmless) to 100, None where there is no such judgement; `verdict` is a word or
    two. `veto` means that it must not be blocked. `facts` are short plain ASCII, by name.
    """

    name: str
    score: int | None
    verdict: str
    veto: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)
