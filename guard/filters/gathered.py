"""Equal rejections on their way to those who count: one with a count, in the place of thousands.

An attack comes faster than anybody counts it one by one, and what waits is bounded. Equal are the
address, the kind, the code, and the tenth of a second: that is how much earlier a rejection may
seem to have been. Nothing is lost, and what is no rejection is left as it is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import msgspec

from guard.records import Record

_TENTH = len("2025-09-12T11:08:01.2")


def gathered(records: Iterable[Record]) -> list[Record]:
    """`records` in the order of the first of each; the counts sum to what they were."""
    found: dict[Hashable, tuple[Record, int]] = {}
    for number, record in enumerate(records):
        key = _key(record) or number
        first, count = found.get(key, (record, 0))
        found[key] = first, count + (record.count or 1)
    return [
        record if count == (record.count or 1) else msgspec.structs.replace(record, count=count)
        for record, count in found.values()
    ]


def _key(record: Record) -> Hashable:
    peer = record.peer_address
    if record.type != "Rejection" or not record.kind or peer is None:
        return None
    return peer.addr, record.kind, record.response.code, record.event_time[:_TENTH]
