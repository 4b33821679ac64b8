"""Warnings about files that are legal and probably not meant so."""

import tomllib

import pytest

from guard.lib.networks import parse_network
from guard.relay.listener_domains import ListenerDomains, load, parse
from guard.relay.traps import unreachable, warnings


def warned(text: str) -> list[tuple[str, str]]:
    """(key, message) of the warnings about TOML text."""
    found = warnings(parse(tomllib.loads(text), "d.toml"))
    assert all(fault.file == "d.toml" for fault in found)
    return [(fault.key, fault.message) for fault in found]


@pytest.mark.parametrize(
    ("text", "key", "says"),
    [
        ('["*"]\nlog_oob = true', '"*".log_oob', "every stranger gets past RCPT"),
        ('["*"]\nlog_arf = "LogThenDrop"', '"*".log_arf', "every stranger gets past RCPT"),
        ('["a.test"]\nlog_oob = "LogThenRelay"', '"a.test".log_oob', "relays for strangers"),
        ('["*"]\nrelay_to = true', '"*".relay_to', "a relay for everybody, to any domain"),
        ('["*.com"]\nrelay_to = true', '"*.com".relay_to', "to every domain of .com"),
        ('["a.test"]\nrelay_from = ["any"]', '"a.test".relay_from', "a relay for everybody"),
        ('["a.test"]\nrelay_from = ["::/0"]', '"a.test".relay_from', "::/0 and the like"),
        (
            '["a.test"]\nrelay_from = ["0.0.0.0/1", "128.0.0.0/1"]',
            '"a.test".relay_from',
            "a relay for everybody",
        ),
        ('["Example.COM"]', '"Example.COM"', 'can never match: write "example.com"'),
        ('["*.Münch.de"]', '"*.Münch.de"', 'write "*.xn--mnch-0ra.de"'),
        ('["foo.*.net"]', '"foo.*.net"', "only for the whole beginning"),
        ('["*.*.net"]', '"*.*.net"', "only for the whole beginning"),
        ('["a*.net"]', '"a*.net"', "only for the whole beginning"),
        ('["a.test."]', '"a.test."', 'write "a.test"'),
        ('["user@a.test"]', '"user@a.test"', "not a domain name"),
        ('["a test"]', '"a test"', "not a domain name"),
        ('[".a.test"]', '".a.test"', "not a domain name"),
        ('["[IPv6:0::1]"]', '"[IPv6:0::1]"', 'write "[IPv6:::1]"'),
        ('[listener."0.0.0.0:25"."a.test"]', 'listener."0.0.0.0:25"', "never at 0.0.0.0"),
        ('[listener."[::]:25"."a.test"]', 'listener."[::]:25"', "never at [::]"),
        ('[listener."[0::1]:25"."a.test"]', 'listener."[0::1]:25"', 'write "[::1]:25"'),
        ('[listener."::1:25"."a.test"]', 'listener."::1:25"', 'write "[::1]:25"'),
        ('[listener."[::ffff:192.0.2.1]:25".a]', 'listener."[::ffff:192.0.2.1]:25"', '"192.0'),
        ('[listener."mx:25"."a.test"]', 'listener."mx:25"', "named by local address and port"),
        ('[listener."192.0.2.1"."a.test"]', 'listener."192.0.2.1"', "local address and port"),
    ],
)
def test_each_trap_is_named_with_its_key(text, key, says):
    """One trap, one warning, at the key that has to be changed."""
    assert [found for found, message in warned(text) if says in message] == [key]


@pytest.mark.parametrize(
    "text",
    [
        "",
        '["a.test"]\nrelay_to = true\nlog_oob = true\nlog_arf = "LogThenDrop"',
        '["*"]\nrelay_to = false\nlog_oob = false\nlog_arf = "Ignore"',
        '["*.a.test"]\nrelay_to = true',
        '["a.test"]\nrelay_to = true\nlog_oob = "LogThenRelay"',
        '["a.test"]\nrelay_from = ["10.0.0.0/8", "192.168.0.0/16", "192.0.2.0/24", "fd00::/8"]',
        '["[10.0.0.1]"]\n["[IPv6:::1]"]\n[""]\n["xn--mnch-0ra.de"]\n["_x.a_b.test"]',
        '[listener."192.0.2.1:25"."*"]\n[listener."[2001:db8::1]:25"."a.test"]\n[listener."*".b]',
    ],
)
def test_ordinary_files_raise_no_warning(text):
    """A warning that comes without reason would teach operators not to read them."""
    assert warned(text) == []


def test_relay_hosts_that_hold_everybody():
    """The place of the listener's own relay_hosts is named; private networks are no strangers."""
    found = warnings(
        ListenerDomains(), [parse_network("0.0.0.0/0")], "g.toml", "listener[0].relay_hosts"
    )
    assert [(f.file, f.key) for f in found] == [("g.toml", "listener[0].relay_hosts")]
    assert "0.0.0.0/0" in found[0].message
    private = map(parse_network, ("10.0.0.0/8", "172.16.0.0/12", "127.0.0.1", "::1"))
    assert warnings(ListenerDomains(), private) == []


def test_kumomtas_stock_file_is_warned_of(shared):
    """The file that everybody starts from lets every stranger past RCPT, twice."""
    stock = load([shared / "kumomta/listener_domains/listener_domains.toml"])
    keys = [fault.key for fault in warnings(stock)]
    assert keys == ['"*".log_oob', '"*".log_arf', '"example.com"']


def test_a_name_that_json_has_twice_is_said(tmp_path):
    """KumoMTA takes the last; so do we, and the first is lost."""
    path = tmp_path / "d.json"
    path.write_text('{"a.test": {"relay_to": true}, "a.test": {"log_oob": true, "log_oob": false}}')
    some = load([path])
    assert not some.find("a.test", "h:25").options.relay_to
    assert [(f.key, f.message) for f in warnings(some)] == [
        ('"log_oob"', "is there twice; the last one counts"),
        ('"a.test"', "is there twice; the last one counts"),
    ]


def test_what_no_listener_can_reach_is_said():
    """Users where nobody can log in, and a port that nobody listens at."""
    some = parse(
        tomllib.loads(
            """
            ["a.test"]
            relay_from_authz = ["ann"]
            [listener."192.0.2.1:25"."b.test"]
            [listener."192.0.2.1:2525"."b.test"]
            [listener."0.0.0.0:9"."b.test"]
            """
        ),
        "d.toml",
    )
    found = unreachable(some, authenticates=False, ports={25, 465})
    assert [fault.key for fault in found] == [
        '"a.test".relay_from_authz',
        'listener."192.0.2.1:2525"',
    ]
    assert unreachable(some, authenticates=True, ports=()) == []
