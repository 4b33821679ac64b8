"""How the values of jail options are written."""

import pytest

from guard.jails.values import (
    parse_bantime,
    parse_bool,
    parse_count,
    parse_maxtime,
    parse_networks,
    parse_not_negative,
    parse_positive,
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_bool, "Yes", True),
        (parse_bool, "0", False),
        (parse_count, "1", 1),
        (parse_positive, "1d12h", 129600.0),
        (parse_not_negative, "0", 0.0),
        (parse_bantime, "-1", None),
        (parse_bantime, "10m", 600.0),
        (parse_maxtime, "5w", 3024000.0),
    ],
)
def test_values(parse, text, value):
    """fail2ban's words, numbers and lengths of time."""
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_bool, "maybe"),
        (parse_count, "0"),
        (parse_count, "-1"),
        (parse_count, "1.5"),
        (parse_count, "²"),
        (parse_count, "9" * 5000),
        (parse_positive, "0"),
        (parse_positive, "-1"),
        (parse_positive, "ten"),
        (parse_not_negative, "-1"),
        (parse_bantime, "0"),
        (parse_bantime, "-2"),
        (parse_networks, "mail.example.com"),
        (parse_networks, "192.0.2.0/33"),
        (parse_networks, "192.0.2.0/-1"),
        (parse_networks, "192.0.2.0/x"),
        (parse_networks, "192.0.2.0/255.0.255.0"),
        (parse_networks, "file:/nowhere/at/all"),
    ],
)
def test_slips_are_told(parse, text):
    """Nothing silently becomes a default."""
    with pytest.raises(ValueError, match=r"'|cannot read"):
        parse(text)


def test_networks_as_fail2ban_takes_them(tmp_path):
    """Blanks, commas and lines between; host parts, dotted masks, mapped addresses, a file."""
    path = tmp_path / "ignore"
    path.write_text("# ours\n198.51.100.1  # the monitor\n\n2001:db8:1::/48, 203.0.113.9\n")
    text = f"127.0.0.1/8 ::1,192.0.2.7/255.255.255.0\n::ffff:192.0.2.128/121 file:{path}"
    assert [str(network) for network in parse_networks(text)] == [
        "127.0.0.0/8", "::1", "192.0.2.0/24", "192.0.2.128/25",
        "198.51.100.1", "2001:db8:1::/48", "203.0.113.9",
    ]  # fmt: skip
