"""The collector rests for a while, and only for a while."""

import gc

import pytest

from guard.lib.bulk import bulk


def test_the_collector_rests_and_comes_back():
    """Nested, and after an error; one that was off stays off."""
    assert gc.isenabled()
    with bulk(), bulk():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="x"), bulk():
        raise ValueError("x")
    assert gc.isenabled()
    gc.disable()
    try:
        with bulk():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
