"""fail2ban's filters on its own sample logs, which come with it and are never part of Guard."""

import time
from pathlib import Path

import pytest
from failjson import Samples, moment

from guard.filters.load import load_filter
from guard.filters.rest import REST, STRIKES
from guard.filters.textfilter import Filter
from guard.lib.conftags import join_call

STOCK = Path("/etc/fail2ban/filter.d")
LOGS = Path("/usr/lib/python3/dist-packages/fail2ban/tests/files/logs")
MAIL = (
    "assp", "courier-auth", "courier-smtp", "cyrus-imap", "domino-smtp", "dovecot", "exim",
    "exim-spam", "horde", "kerio", "openwebmail", "oracleims", "perdition", "postfix", "qmail",
    "roundcube-auth", "sendmail-auth", "sendmail-reject", "sieve", "sogo-auth", "solid-pop3d",
    "squirrelmail", "uwimap-auth",
)  # fmt: skip
NOW = 1124013600.0  # fail2ban's samples were written for Sun 14 Aug 2005 12:00 CEST


@pytest.fixture
def _samples_zone(monkeypatch):
    """The zone that the samples were written in."""
    monkeypatch.setenv("TZ", "CET-01CEST-02,M3.5.0,M10.5.0")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def complaints(name: str) -> tuple[int, list[str]]:
    """How many samples there are for this filter, and which come out wrong."""
    filters: dict[str, Filter] = {}
    checked, wrong = 0, []
    for options, line, expected in Samples(LOGS, name):
        passed = {k: v for k, v in options.items() if not k.startswith("test.")}
        key = options.get("test.filter-name") or str(passed)
        if key not in filters:
            filters[key] = load_filter(join_call(name, passed), [STOCK])
        if passed.get("logtype") == "journal":
            text = options.get("test.prefix-line", "") + line.decode("utf-8", "replace")
            match = filters[key].match_text(text, NOW, NOW)
        else:
            match = filters[key].match(line, NOW)
        checked += 1
        wrong += [f"{passed} {line!r}: {what}" for what in differences(match, expected)]
    return checked, wrong


def differences(match, expected):
    """What is not as the sample says."""
    if bool(match) != expected.get("match", False):
        yield f"matched {match}, expected {expected}"
        return
    if match is None:
        return
    if "host" in expected and match.host != expected["host"]:
        yield f"host {match.host}"
    if "user" in expected and match.user != expected["user"]:
        yield f"user {match.user}"
    when = moment(expected)
    if when is not None and abs(match.time - when) >= 1:
        yield f"time {match.time}, expected {when}"


def need_samples():
    """Skips where the package came without its tests."""
    if not LOGS.is_dir():
        pytest.skip("this fail2ban came without its sample logs")


@pytest.mark.fail2ban
@pytest.mark.usefixtures("_samples_zone")
@pytest.mark.parametrize("name", MAIL)
def test_mail_filters_find_what_fail2ban_finds(name):
    """Every sample of every mail filter: found or not, host, account and time."""
    need_samples()
    checked, wrong = complaints(name)
    assert checked
    assert not wrong, "\n".join(wrong)


@pytest.mark.fail2ban
@pytest.mark.usefixtures("_samples_zone")
def test_all_other_filters_find_what_fail2ban_finds():
    """The rest of what Debian installs."""
    need_samples()
    names = {path.stem for path in STOCK.glob("*.conf")} & {path.name for path in LOGS.iterdir()}
    checked = 0
    for name in sorted(names - set(MAIL)):
        count, wrong = complaints(name)
        checked += count
        assert not wrong, name + "\n" + "\n".join(wrong)
    assert checked > 600


def test_no_date_is_the_last_one_or_now():
    """As fail2ban: for a minute the last date holds, then the clock."""
    lines = Filter("x", ["^x <HOST>$"], datepattern="EPOCH")
    assert lines.match(b"x 192.0.2.1", 5000.0).time == 5000.0
    assert lines.match(b"1757675281x 192.0.2.1", 6000.0) is None
    found = lines.match(b"1757675281 x 192.0.2.1", 6000.0)
    assert found is None  # the blank after the date stays, and ^x wants none
    anchored = Filter("x", ["x <HOST>$"], datepattern="EPOCH")
    assert anchored.match(b"1757675281 x 192.0.2.1", 6000.0).time == 1757675281.0
    assert anchored.match(b"x 192.0.2.1", 6059.0).time == 1757675281.0
    assert anchored.match(b"x 192.0.2.1", 6061.0).time == 6061.0
    assert anchored.tally.undated == 2


def test_names_and_ids_are_no_addresses():
    """Only an address bans; what was captured is still told."""
    lines = Filter("x", ["^x <HOST>$", "^id <F-ID>\\S+</F-ID>$"], datepattern="{NONE}")
    assert (lines.match(b"x mx.example.com", 0.0).address) == ""
    assert lines.match(b"x mx.example.com", 0.0).host == "mx.example.com"
    assert lines.match(b"x 999.1.1.1", 0.0).address == ""
    assert lines.match(b"x ::ffff:192.0.2.1", 0.0).address == "192.0.2.1"
    assert lines.match(b"x [2001:DB8:0::1]", 0.0).address == "2001:db8::1"
    assert lines.match(b"id 2001:db8:0:0::1", 0.0).address == "2001:db8::1"
    assert lines.match(b"id joe", 0.0).address == ""


def test_what_the_prefix_captured_stays_unless_the_expression_knows_better():
    """prefregex may have the address, and its content is all that the expressions see."""
    lines = Filter(
        "x",
        ["^(?:by <ADDR> )?refused$"],
        prefregex="^host <ADDR>: <F-CONTENT>.+</F-CONTENT>$",
        datepattern="{NONE}",
    )
    assert lines.match(b"host 192.0.2.1: refused", 0.0).address == "192.0.2.1"
    assert lines.match(b"host 192.0.2.1: by 192.0.2.2 refused", 0.0).address == "192.0.2.2"
    assert lines.match(b"refused", 0.0) is None
    assert lines.match(b"host 192.0.2.1: by x refused", 0.0) is None


def test_ignoreregex_takes_a_match_back():
    """And is counted."""
    lines = Filter("x", ["^x <HOST>"], ignoreregex=["friend$"], datepattern="{NONE}")
    assert lines.match(b"x 192.0.2.1 friend", 0.0) is None
    assert lines.match(b"x 192.0.2.1", 0.0) is not None
    assert (lines.tally.lines, lines.tally.matched, lines.tally.ignored) == (2, 1, 1)


def test_a_slow_expression_is_set_aside_and_comes_back():
    """A stranger who knows a slow line costs three deadlines a minute; other expressions go on."""
    lines = Filter("x", ["^.*(.*)x(.*)*.*y.*<ADDR>$", "^(?:x+y)? ?<ADDR>$"], datepattern="{NONE}")
    hostile, honest = b"x" * 3000 + b"y", b"xy 192.0.2.1"
    for _ in range(STRIKES):
        lines.match(hostile, 100.0)
    began = time.monotonic()
    for _ in range(100):
        assert lines.match(hostile, 101.0) is None
        assert lines.match(honest, 101.0).expression == 1
    assert time.monotonic() - began < 2
    assert lines.tally.expired == [STRIKES, 0]
    assert lines.match(honest, 101.0 + REST).expression == 0


@pytest.mark.parametrize(
    "line",
    [b"", b"\xff\xfe\x00", b"\xe2\x80\xa8" * 10, b"x" * 1_000_000, "ſ\u0085\u2028x".encode()],
)
def test_any_bytes_are_a_line(line):
    """Nothing raises, nothing takes long."""
    lines = Filter("x", ["^x <HOST>$", "(?i)s\\s+<ADDR>"])
    began = time.monotonic()
    assert lines.match(line, 1.0) is None
    assert time.monotonic() - began < 1
