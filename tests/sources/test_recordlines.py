"""Any bytes are events, nothing, or a counted fault; and one bad line hides no other."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from kumo import line, rejection

from guard.sources.lines import Lines
from guard.sources.recordlines import hear
from guard.sources.tally import NO_RECORD, TOO_LONG, UNKNOWN, Tally


def heard(data: bytes, *, ids: bool = False, bound: int = 1 << 20):
    """The events of whole lines, with the tally."""
    tally = Tally()
    return hear(Lines(bound).feed(data), tally, "log", ids=ids), tally


def test_rejections_and_acceptances_in_order():
    """What speaks of peers becomes events, the rest is counted by type."""
    data = rejection(1) + line("Bounce", 2) + line("Reception", 3)
    data += line("Delivery", 4, sender="a@example.com")
    events, tally = heard(data)
    assert [type(event).__name__ for event in events] == ["Rejection", "Acceptance", "Acceptance"]
    assert dict(tally.types) == {"Rejection": 1, "Bounce": 1, "Reception": 1, "Delivery": 1}
    assert (tally.lines, tally.records, tally.faults) == (4, 4, {})


def test_every_sort_of_fault_is_counted_with_its_first_place():
    """Truncated, unknown, without address, not UTF-8, too long: each told, none hides another."""
    bad = [
        rejection(1)[:-40] + b"\n",
        line("Novelty", 2),
        rejection(3, peer_address=None),
        rejection(4).replace(b"user", b"us\xff\xfe"),
        b"x" * 5000 + b"\n",
        rejection(5, timestamp=-1),
        rejection(6, peer_address={"name": "x", "addr": "192.0.2.1:25"}),
        b"\x00\x00\x00\n",
    ]
    data = rejection(0) + b"".join(
        bad + [text for _ in range(3) for text in (bad[0], rejection(9))]
    )
    events, tally = heard(data, bound=4000)
    assert [event.time for event in events] == [1_700_000_000] + [1_700_000_009] * 3
    assert {sort: (f.count, f.first) for sort, f in tally.faults.items()} == {
        NO_RECORD: (6, "log:2"),
        UNKNOWN: (1, "log:3"),
        "no address": (1, "log:4"),
        TOO_LONG: (1, "log:6"),
        "bad time": (1, "log:7"),
        "bad address": (1, "log:8"),
    }
    assert tally.lines == 15


def test_a_record_of_a_million_characters_is_read():
    """Length alone is no fault below the bound."""
    events, tally = heard(rejection(1, headers={"Subject": "x" * 1_000_000}), bound=4 << 20)
    assert (len(events), tally.faults) == (1, {})


def test_blank_lines_are_nothing():
    """Empty lines, also with CR, are neither records nor faults, and keep the numbers right."""
    data = b"\n\r\n" + rejection(1) + b"\n" + rejection(2).replace(b"\n", b"\r\n")
    events, tally = heard(data, ids=True)
    assert [event.id for event in events] == ["log:3", "log:5"]
    assert tally.faults == {}


def test_ids_are_the_same_however_the_file_is_cut():
    """A line has one id for ever: its place in its file."""
    data = b"\n".join([rejection(i) + (b"junk\n" if i % 7 == 3 else b"") for i in range(50)])
    whole = {event.id: event.time for event in heard(data, ids=True)[0]}
    for step in (100, 999, 5000):
        lines, tally, found = Lines(), Tally(), {}
        for at in range(0, len(data), step):
            for event in hear(lines.feed(data[at : at + step]), tally, "log", ids=True):
                found[event.id] = event.time
        assert found == whole
    assert len(whole) == 50


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([rejection(1)[:-1], b"{}", b"[]"])))
def test_any_lines_are_read_or_counted(lines):
    """Every line that is not blank is a record or a fault, and a rejection is always heard."""
    data = b"".join(text.replace(b"\n", b"") + b"\n" for text in lines)
    events, tally = heard(data, ids=True)
    written = [text for text in data.split(b"\n") if text.strip()]
    faults = sum(found.count for sort, found in tally.faults.items() if sort != UNKNOWN)
    assert tally.records + faults == len(written)
    assert len(events) == sum(text == rejection(1)[:-1] for text in lines)


def test_records_printed_over_several_lines_are_read():
    """As KumoMTA's documentation shows them, and as `jq` prints them."""
    data = b"".join(
        json.dumps(json.loads(rejection(number)), indent=2).encode() + b"\n" for number in range(3)
    )
    events, tally = heard(data)
    assert [event.time - 1_700_000_000 for event in events] == [0, 1, 2]
    assert tally.faults == {}
