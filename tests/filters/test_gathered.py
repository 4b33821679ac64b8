"""guard/filters/gathered.py: fewer records, and nothing lost."""

from hypothesis import given
from hypothesis import strategies as st

from guard.events import Rejection
from guard.filters.gathered import gathered
from guard.filters.hear import event_of
from guard.records import PeerAddress, Record, Response, heard

SECOND = 1757675281


def record(addr="192.0.2.1", kind="relay_denied", code=550, at=250, type_="Rejection", **more):
    """A record of our listener, `at` milliseconds of a second."""
    return Record(
        type=type_, response=Response(code, None, "no", "RCPT TO:<a@b>"),
        peer_address=PeerAddress("x", addr), timestamp=SECOND,
        event_time=f"2025-09-12T11:08:01.{at:03d}000000Z", created=SECOND, created_time="t",
        nodeid="n", session_id="s", kind=kind, **more,
    )  # fmt: skip


def test_equal_ones_of_a_tenth_are_one():
    """Another address, kind, code or tenth is another; what is no rejection stays as it is."""
    some = [
        record(at=210), record(at=299), record(at=300), record(addr="192.0.2.2"),
        record(kind="limit"), record(code=421), record(type_="Reception"),
        record(type_="Reception"), record(at=211, count=5),
    ]  # fmt: skip
    found = gathered(some)
    assert [each.count or 1 for each in found] == [7, 1, 1, 1, 1, 1, 1]
    assert [each.type for each in found].count("Reception") == 2
    assert found[0].event_time == some[0].event_time
    assert found[1] is some[2]


RECORDS = st.builds(
    record,
    addr=st.sampled_from(["192.0.2.1", "192.0.2.2", "2001:db8::1"]),
    kind=st.sampled_from(["relay_denied", "limit"]),
    at=st.integers(0, 999),
    type_=st.sampled_from(["Rejection", "Rejection", "Reception"]),
)


@given(st.lists(RECORDS, max_size=60))
def test_as_one_by_one(records):
    """Of each address and kind as many rejections, none a tenth of a second away from its time."""

    def told(some):
        events = [event_of(heard(each)) for each in some]
        found = {}
        for event in events:
            if isinstance(event, Rejection):
                key = event.address, event.kind
                found[key] = [*found.get(key, []), *[event.time] * event.count]
        return {key: sorted(times) for key, times in found.items()}, len(events)

    whole, _ = told(records)
    fewer, _ = told(gathered(records))
    assert whole.keys() == fewer.keys()
    for key, times in whole.items():
        assert len(times) == len(fewer[key])
        assert all(abs(a - b) < 0.1001 for a, b in zip(times, fewer[key], strict=True))
