"""Date patterns: tokens, boundaries, years that are missing."""

from datetime import UTC

import pytest

from guard.filters.datepattern import BadDatePattern, compile_pattern

NOW = 1757675281.0  # Fri 12 Sep 2025 11:08:01 UTC


def find(pattern, line, now=NOW, zone=UTC):
    """What is cut out of the line, and the moment."""
    compiled = compile_pattern(pattern)
    found = compiled.find(line)
    return found and (found[1], compiled.moment(found, now, zone))


@pytest.mark.parametrize(
    ("pattern", "line", "cut", "moment"),
    [
        ("%Y-%m-%d %H:%M:%S", "x 2025-09-12 11:08:01 y", "2025-09-12 11:08:01", NOW),
        ("%Y-%m-%dT%H:%M:%S%z", "2025-09-12T13:08:01+02:00", "2025-09-12T13:08:01+02:00", NOW),
        ("%Y-%m-%d %H:%M:%S %Exz", "2025-09-12 13:08:01 CEST", "2025-09-12 13:08:01 CEST", NOW),
        ("%a %b %d %H:%M:%S %ExY", "Fri SEP 12 11:08:01 2025", "Fri SEP 12 11:08:01 2025", NOW),
        ("%d %B %Exy %I:%M:%S %p", "12 September 25 11:08:01 AM", None, NOW),
        ("%d/%m/%y %l:%M:%S %p", "12/09/25  1:08:01 pm", None, NOW + 7200),
        ("%b %d %k:%M:%S", "Sep 12  1:08:01", None, NOW - 36000),
        ("%j %Y", "255 2025", None, 1757635200.0),
        ("EPOCH", "1757675281 x", "1757675281", NOW),
        ("EPOCH", "type=X msg=audit(1757675281.123:45)", "1757675281.123", NOW + 0.123),
        ("EPOCH", "[1757675281] x", "1757675281", NOW),
        ("EPOCH", "x 1757675281", None, None),
        ("LEPOCH", "1757675281440 x", "1757675281440", NOW + 0.44),
        ("^LEPOCH", "1757675281440526 x", "1757675281440526", 1757675281.440526),
        (r'"timestamp":\s*{EPOCH}', '{"timestamp": 1757675281}', '"timestamp": 1757675281', NOW),
        (r'"ms":{LEPOCH}', '{"ms":1757675281440}', '"ms":1757675281440', NOW + 0.44),
        (r'"ms":{EPOCH}', '{"ms":1757675281440}', None, None),
        ("TAI64N", "@4000000068c3fed10000000a x", "@4000000068c3fed10000000a", 0x68C3FED1),
        ("{^LN-BEG}%H:%M:%S", "[11:08:01] x", "11:08:01", NOW),
        ("{^LN-BEG}%H:%M:%S", "abc 11:08:01", None, None),
        ("%H:%M:%S", "x1:11:08:01y", None, None),
        ("{UNB}%H:%M:%S", "x11:08:01y", "11:08:01", NOW),
        ("**%H:%M:%S**", "x11:08:01y", "11:08:01", NOW),
        (r"^\[%H:%M:%S %%\]$", "[11:08:01 %]", "[11:08:01 %]", NOW),
        ("%Y-%m-%d", "2025-02-31", "2025-02-31", None),
        ("%S %j", "61 366", None, None),
    ],
)  # fmt: skip
def test_patterns(pattern, line, cut, moment):
    """The first group is cut out; a date that does not exist is none."""
    found = find(pattern, line)
    if moment is None and cut is None and found is None:
        return
    assert found is not None
    if cut is not None:
        assert found[0] == cut
    if moment is None:
        assert found[1] is None or pattern == "%S %j"
    else:
        assert found[1] == pytest.approx(moment, abs=1e-6)


@pytest.mark.parametrize("pattern", ["%Q", "(%Y", "%Y[", "%Y %Y"])
def test_what_does_not_compile_is_told(pattern):
    """With the pattern."""
    with pytest.raises(BadDatePattern, match="date pattern"):
        compile_pattern(pattern)
