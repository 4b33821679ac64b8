"""Generations of windows: what is old goes, what may still matter stays."""

from guard.events import Offence, Overflow, Window
from guard.lib.networks import Network
from guard.stores.embedded_counters import EmbeddedCounters

WINDOWS = {"relay": Window(3, 600.0)}


def one_off(number, time):
    """An address that comes once."""
    return Offence("relay", Network(4, number, 32), time)


def test_memory_is_bounded_by_time():
    """An endless row of addresses that come once leaves three windows' worth at most."""
    counters = EmbeddedCounters()
    for number in range(20_000):
        counters.count([one_off(number, 1000.0 + number)], WINDOWS)
        assert counters.tracked() <= 3 * 600 + 1


def test_a_window_in_use_stays_however_long():
    """One who comes every 400 seconds is remembered from each time to the next."""
    counters = EmbeddedCounters()
    slow = Network(4, 7, 32)
    for number in range(100):
        counters.count([one_off(1000 + number, 400.0 * number)], WINDOWS)
        assert counters.count([Offence("relay", slow, 400.0 * number)], WINDOWS) == []
        assert len(counters.counted(slow)) == min(2, number + 1)


def test_one_who_is_late_by_a_window_finds_what_was_held():
    """Others' rejections move time on; a late one is still counted with those beside it."""
    counters = EmbeddedCounters()
    late = Network(4, 7, 32)
    counters.count([Offence("relay", late, 1000.0, 2)], WINDOWS)
    for number in range(1100):
        counters.count([one_off(1000 + number, 1000.0 + number)], WINDOWS)
    assert counters.count([Offence("relay", late, 1500.0)], WINDOWS) != []


def test_other_windows_find_what_was_held_and_go_on_forgetting():
    """A jail's findtime changes: its counts stay, and memory is bounded by the new one."""
    counters, slow = EmbeddedCounters(), Network(4, 7, 32)
    counters.count([Offence("relay", slow, 1000.0, 2)], WINDOWS)
    longer = {"relay": Window(3, 1200.0)}
    assert counters.count([Offence("relay", slow, 2000.0)], longer) == [
        Overflow("relay", slow, 2000.0, 3)
    ]
    for number in range(20_000):
        counters.count([one_off(1000 + number, 2000.0 + number)], longer)
        assert counters.tracked() <= 3 * 1200 + 1


def test_jails_that_part_take_what_is_theirs():
    """Two jails shared what they counted, and with other windows do not: each keeps its counts."""
    counters, address = EmbeddedCounters(), Network(4, 7, 32)
    both = {"relay": Window(5, 600.0, 86400.0), "slow": Window(5, 86400.0, 86400.0)}
    counters.count([Offence("relay+slow", address, 1000.0 + n) for n in range(4)], both)
    assert counters.tracked() == 1
    apart = {"relay": Window(5, 600.0), "slow": Window(5, 86400.0)}
    assert counters.count([Offence("slow", address, 1005.0)], apart) == [
        Overflow("slow", address, 1005.0, 5)
    ]
    assert counters.tracked() == 1
    assert counters.count([Offence("relay", address, 1006.0)], apart) == [
        Overflow("relay", address, 1006.0, 5)
    ]
    assert counters.tracked() == 0
