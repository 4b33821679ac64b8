"""The length of the next ban, as fail2ban's jail.conf describes it."""

import pytest

from guard.jails.escalation import ban_length, length_of
from guard.jails.jail import Escalation


def lengths(escalation: Escalation, *strikes: int) -> list[float | None]:
    return [ban_length(600.0, escalation, n, lambda: 0.0) for n in strikes]


def test_the_default_doubles_up_to_two_to_the_twentieth():
    """bantime * 2^min(count, 20) * factor; the first ban is bantime itself."""
    plain = Escalation(length=length_of())
    assert lengths(plain, 0, 1, 2, 20, 99) == [600, 1200, 2400, 600 * 2**20, 600 * 2**20]
    assert lengths(Escalation(length=length_of(factor="0.5 * 3")), 0, 1) == [600, 1800]


def test_a_formula_never_shortens_a_ban():
    """fail2ban takes the larger of bantime and what the formula gives."""
    assert lengths(Escalation(length=length_of(formula="ban.Time / 100")), 1) == [600]


def test_multipliers_win_and_the_last_repeats():
    """The list is indexed by the number of earlier bans."""
    steps = Escalation(length=length_of(multipliers="1 5 30 60", formula="1", factor="2"))
    assert lengths(steps, 0, 1, 2, 3, 4, 50) == [600, 6000, 36000, 72000, 72000, 72000]


def test_maxtime_caps_and_rndtime_comes_on_top():
    """As in fail2ban the random part is added after the cap."""
    capped = Escalation(length=length_of(), maxtime=1000.0, rndtime=60.0)
    assert ban_length(600.0, capped, 5, lambda: 0.5) == 1030.0
    assert ban_length(600.0, capped, 0, lambda: 0.5) == 600.0


def test_for_ever_stays_for_ever_and_no_escalation_changes_nothing():
    """A ban without an end has no longer form; a jail without escalation repeats itself."""
    assert ban_length(None, Escalation(length=length_of()), 3, lambda: 0.0) is None
    assert ban_length(600.0, None, 3, lambda: 0.0) == 600.0


def test_a_formula_that_leaves_the_numbers_is_for_ever():
    """Growth beyond what a number holds: for ever, or maxtime."""
    grows = length_of(formula="ban.Time * math.exp(ban.Count * 100)")
    assert lengths(Escalation(length=grows), 50) == [None]
    assert lengths(Escalation(length=grows, maxtime=9000.0), 50) == [9000.0]


def test_a_formula_that_fails_later_falls_back():
    """A count that was not tried when the file was read must not stop a ban."""
    assert lengths(Escalation(length=length_of(formula="ban.Time / (ban.Count - 7)")), 7) == [600]


@pytest.mark.parametrize(
    "wrong",
    [
        {"formula": "ban.Time / (ban.Count - 2)"},
        {"formula": "math.log(0 - ban.Count)"},
        {"factor": "two"},
        {"factor": "1 / 0"},
        {"multipliers": "1 2 x"},
        {"multipliers": "1 -2"},
    ],
)
def test_what_cannot_work_is_a_fault_when_the_file_is_read(wrong):
    """A formula is tried at several counts, multipliers are whole numbers."""
    with pytest.raises(ValueError, match=r"."):
        length_of(**wrong)
