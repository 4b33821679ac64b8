"""A body is an object, an array or lines; whatever it is, its records come out one a line."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from kumo import rejection

from guard.records import decode
from guard.sources.bodies import Body, Damaged, TooLarge, records_of, unpack

ONE, TWO = rejection(1)[:-1], rejection(2)[:-1]


@pytest.mark.parametrize(
    "body",
    [
        ONE + b"\n" + TWO + b"\n",
        ONE + b"\r\n" + TWO,
        b"\n\n" + ONE + b"\n\n\n" + TWO + b"\n\n",
        b"[" + ONE + b"," + TWO + b"]",
        b" [\n" + ONE + b" ,\n " + TWO + b"\n]\n",
    ],
)
def test_forms_that_producers_send(body):
    """NDJSON and arrays, whatever blank space is around them."""
    assert records_of(body) == Body((ONE, TWO), 0)


def test_one_object_over_many_lines_becomes_one_line():
    """KumoMTA posts an object and a line end; others print it nicely."""
    assert records_of(ONE + b"\n") == Body((ONE,), 0)
    (line,) = records_of(json.dumps(json.loads(ONE), indent=2).encode()).records
    assert b"\n" not in line
    assert json.loads(line) == json.loads(ONE)


def test_what_is_no_record_is_counted_and_hides_nothing():
    """Bad lines and bad members of an array are faults; the others are kept."""
    assert records_of(ONE + b"\nnonsense\n{}\n" + TWO) == Body((ONE, TWO), 2)
    assert records_of(b"[" + ONE + b', 7, {"type": 1}, null]') == Body((ONE,), 3)
    assert records_of(b"[]") == Body((), 0)
    assert records_of(b"") == Body((), 0)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_records_or_faults(body):
    """Nothing raises, and every record that comes out is one, on one line."""
    for record in records_of(body).records:
        decode(record)
        assert b"\n" not in record


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress, bytes])
def test_compression_is_told_by_the_bytes(pack):
    """gzip, zstd and plain, whatever a header says."""
    assert unpack(pack(ONE), 10_000) == ONE


def test_a_body_unpacks_within_bounds():
    """A bomb is refused before it is in memory; damage is told."""
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        unpack(zstandard.compress(bytes(1 << 30)), 1000)
    with pytest.raises(Damaged):
        unpack(gzip.compress(ONE)[:10] + b"\xff" * 40, 10_000)
