"""Formulas of jail files: what fail2ban's examples give, and what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.jails.formula import Ban, parse_formula

EXPONENT = "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor", 600 * 8 * 2),
        (EXPONENT, 600 * math.exp(8) / math.exp(2)),
        ("2.0 / 2.885385", 2.0 / 2.885385),
        ("-ban.Time + +ban.Count ** 2 % 5 // 1", -596),
        ("max(ban.Time, min(86400, ban.Time * ban.Count))", 1800),
        ("int(7.9) + round(2.6) + (64 >> 2)", 26),
        ("1 if ban.Count == 3 else 0", 1),
    ],
)
def test_the_examples_of_jail_conf(text, expected):
    """Arithmetic means what it means in Python."""
    assert parse_formula(text)(Ban(600.0, 3, 2.0)) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "__import__('os').system('id')",
        "ban.__class__",
        "ban.Time.real",
        "open('/etc/passwd')",
        "[1][0]",
        "lambda: 1",
        "'text'",
        "True",
        "1 < 2 < 3",
        "math.exp(x=1)",
        "max(1)",
        "1e999",
        "(" * 400 + "1",
        "1 +",
        "a\0b",
        "1" * 600,
        "~1",
        "not 1",
        "1 & 1",
        "1 in 2",
        "ban.Time; 1",
    ],
)
def test_anything_else_is_refused(text):
    """What is not in the table is a ValueError, and nothing has run."""
    with pytest.raises(ValueError, match=r"formula|arithmetic"):
        parse_formula(text)


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused(text):
    """No text raises anything but ValueError."""
    try:
        parse_formula(text)
    except ValueError:
        return


def test_a_shift_cannot_eat_the_memory():
    """A huge shift is an error of arithmetic, not a number of a gigabyte."""
    with pytest.raises(ValueError, match="shifted"):
        parse_formula("1 << 9999999999")(Ban(1.0, 1))
