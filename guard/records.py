"""KumoMTA's log record: how events look on disk and on the wire.

`Record` is what our listener writes, with KumoMTA's members in KumoMTA's order and `kind` and
`count` added (docs.kumomta.com, log record; crates/kumo-log-types at 2026-08). `Heard` is what we
read: the members that decide anything, of every release since 2023, all others skipped.
"""

from __future__ import annotations

import msgspec


class EnhancedCode(msgspec.Struct, frozen=True, gc=False):
    """An enhanced status code, RFC 3463."""

    class_: int = msgspec.field(name="class")
    subject: int
    detail: int


class Response(msgspec.Struct, frozen=True, gc=False):
    """A reply: `content` has neither code nor enhanced code, newlines are blanks."""

    code: int
    enhanced_code: EnhancedCode | None = None
    content: str = ""
    command: str | None = None


class PeerAddress(msgspec.Struct, frozen=True, gc=False):
    """`name` is what the peer said in EHLO; `addr` is its address without port."""

    name: str = ""
    addr: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of our record log."""

    type: str
    id: str = ""
    sender: str = ""
    recipient: str | list[str] = ""
    queue: str = ""
    site: str = ""
    size: int = 0
    response: Response
    peer_address: PeerAddress | None
    timestamp: int
    event_time: str
    created: int
    created_time: str
    num_attempts: int = 0
    bounce_classification: str = "Uncategorized"
    egress_pool: str | None = None
    egress_source: str | None = None
    source_address: str | None = None
    feedback_report: dict[str, object] | None = None
    meta: dict[str, str] = {}
    headers: dict[str, str] = {}
    delivery_protocol: str | None = None
    reception_protocol: str | None = None
    nodeid: str
    tls_cipher: str | msgspec.UnsetType = msgspec.UNSET
    tls_protocol_version: str | msgspec.UnsetType = msgspec.UNSET
    session_id: str
    kind: str | msgspec.UnsetType = msgspec.UNSET
    count: int | msgspec.UnsetType = msgspec.UNSET


class HeardResponse(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a reader needs of a `Response`; other writers leave members out or null."""

    code: int = 0
    enhanced_code: EnhancedCode | None = None
    content: str | None = None
    command: str | None = None


class HeardPeer(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What a reader needs of a `PeerAddress`. `name` is the peer's own word: it classifies only."""

    name: str | None = None
    addr: str | None = None


class HeardMeta(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`authz_id` is who authenticated, where KumoMTA is configured to log it."""

    authz_id: object = None


class HeardLogin(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """`auth_info` of an accounting record (kumo.aaa, configure_acct_log)."""

    peer_address: str | None = None


class Heard(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What we need of anybody's record.

    Every member but `type` may be missing, and the others of a record may be anything, so that
    all releases since 2023 are read. `timestamp` is text (RFC 3339) only in accounting records.
    """

    type: str
    timestamp: float | str = 0.0
    response: HeardResponse | None = None
    peer_address: HeardPeer | None = None
    event_time: str | None = None
    reception_protocol: str | None = None
    sender: object = None
    meta: HeardMeta | None = None
    kind: str | None = None
    count: int = 1
    success: bool = False
    auth_info: HeardLogin | None = None


def heard(record: Record) -> Heard:
    """What a reader of our log would hear of `record`."""
    reply, peer = record.response, record.peer_address
    return Heard(
        type=record.type,
        timestamp=record.timestamp,
        response=HeardResponse(reply.code, reply.enhanced_code, reply.content, reply.command),
        peer_address=HeardPeer(peer.name, peer.addr) if peer else None,
        event_time=record.event_time,
        reception_protocol=record.reception_protocol,
        sender=record.sender,
        meta=HeardMeta(record.meta.get("authz_id")),
        kind=record.kind or None,
        count=record.count or 1,
    )


_DELETE = b"\x7f"  # the one control character that JSON does not escape

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Heard)


def encode(record: Record) -> bytes:
    """`record` as one line of printable ASCII JSON, without the line end.

    ASCII because U+2028, U+0085 and the like end a line for some readers.
    """
    line = _encoder.encode(record)
    return line if line.isascii() and _DELETE not in line else escape_non_ascii(line)


def encode_heard(record: Record) -> bytes:
    """What a reader of our log would hear of `record`, as JSON: a third of the whole."""
    return _encoder.encode(heard(record))


def escape_non_ascii(line: bytes) -> bytes:
    """JSON text with every character but printable ASCII written as `\\uXXXX` (RFC 8259, 7)."""
    units = line.decode().encode("utf-16-be", "surrogatepass")
    return "".join(
        chr(unit) if unit < 127 else f"\\u{unit:04x}"
        for unit in (int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2))
    ).encode("ascii")


def decode_lines(lines: bytes) -> list[Heard]:
    """What each of several lines says. Raises ValueError when one of them is no log record."""
    try:
        return _decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not log records: {error}") from None


def decode(line: bytes) -> Heard:
    """What `line` says. Raises ValueError when it is no log record, whatever the bytes."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a log record: {error}") from None
