"""The collector rests for a while, and only for a while."""

import gc

import pytest

from guard.lib.bulk import bulk, collect_seldom


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


def test_what_is_loaded_is_not_collected_again():
    """All that was there is frozen, and a collection begins after as many values as said."""
    was = gc.get_threshold()
    try:
        collect_seldom(12_345)
        assert gc.get_threshold() == (12_345, 20, 50)
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
        gc.set_threshold(*was)
