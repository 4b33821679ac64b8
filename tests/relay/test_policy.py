"""Who may relay: every rule, and that nothing else lets anybody through."""

import tomllib

import pytest

from guard.lib.networks import parse_address, parse_network
from guard.relay.listener_domains import parse
from guard.relay.policy import StaticPolicy
from guard.relay.verdict import Asked, Reports

POLICY = StaticPolicy(
    [parse_network("127.0.0.1"), parse_network("10.9.0.0/16")],
    parse(
        tomllib.loads(
            """
            ["in.test"]
            relay_to = true
            ["bounce.test"]
            log_oob = true
            ["fbl.test"]
            log_arf = "LogThenDrop"
            ["both.test"]
            log_oob = "LogThenRelay"
            log_arf = "LogThenRelay"
            ["out.test"]
            relay_from = ["192.0.2.0/24"]
            relay_from_authz = ["john"]
            ["shut.test"]
            relay_to = false
            relay_from = ["192.0.2.0/24"]
            ["quiet.test"]
            log_oob = false
            """
        ),
        "d.toml",
    ),
    "guard.toml:listener[0].relay_hosts",
)
HOSTS = "guard.toml:listener[0].relay_hosts"


def ask(peer="203.0.113.5", sender="", to="", authz=None):
    """The verdict on one recipient."""
    return POLICY.check(
        Asked(parse_address(peer), 4242, "10.0.0.1:25", sender, to, "ehlo.test", authz)
    )


@pytest.mark.parametrize(
    ("asked", "relay", "accepts", "rule", "where"),
    [
        ({}, False, False, "default", HOSTS),
        ({"to": "gmail.com"}, False, False, "default", HOSTS),
        ({"peer": "127.0.0.1", "to": "gmail.com"}, True, True, "relay_hosts", HOSTS),
        ({"peer": "::ffff:10.9.8.7"}, True, True, "relay_hosts", HOSTS),
        ({"peer": "::1"}, False, False, "default", HOSTS),
        ({"peer": "127.0.0.2"}, False, False, "default", HOSTS),
        ({"to": "in.test"}, True, True, "relay_to", 'd.toml:"in.test".relay_to'),
        ({"sender": "in.test", "to": "gmail.com"}, False, False, "default", HOSTS),
        ({"to": "bounce.test"}, False, True, "log_oob", 'd.toml:"bounce.test".log_oob'),
        ({"to": "fbl.test"}, False, True, "log_arf", 'd.toml:"fbl.test".log_arf'),
        ({"to": "both.test"}, False, True, "log_oob, log_arf", 'd.toml:"both.test".log_oob'),
        (
            {"peer": "192.0.2.9", "sender": "out.test", "to": "gmail.com"},
            True,
            True,
            "relay_from",
            'd.toml:"out.test".relay_from',
        ),
        ({"peer": "192.0.2.9", "to": "out.test"}, False, False, "relay_to", 'd.toml:"out.test"'),
        ({"peer": "192.0.3.9", "sender": "out.test"}, False, False, "default", HOSTS),
        (
            {"sender": "out.test", "authz": "john"},
            True,
            True,
            "relay_from_authz",
            'd.toml:"out.test".relay_from_authz',
        ),
        ({"sender": "out.test", "authz": "John"}, False, False, "default", HOSTS),
        ({"sender": "else.test", "authz": "john"}, False, False, "default", HOSTS),
        ({"to": "in.test", "authz": "john"}, True, True, "relay_to", 'd.toml:"in.test".relay_to'),
        (
            {"peer": "192.0.2.9", "sender": "shut.test", "to": "shut.test"},
            True,
            True,
            "relay_from",
            'd.toml:"shut.test".relay_from',
        ),
        ({"to": "shut.test"}, False, False, "relay_to", 'd.toml:"shut.test".relay_to'),
        ({"to": "quiet.test"}, False, False, "relay_to", 'd.toml:"quiet.test"'),
    ],
)
def test_each_rule_decides_what_it_should_and_is_named(asked, relay, accepts, rule, where):
    """The table of KumoMTA's check_relaying; the verdict says which rule, and where it stands."""
    verdict = ask(**asked)
    assert (verdict.relay, verdict.accepts) == (relay, accepts)
    assert (verdict.rule, verdict.where) == (rule, where)
    assert not verdict.failed


def test_reports_of_the_recipient_are_told_also_when_it_is_relayed():
    """LogThenDrop drops a report that a relay host brings, too."""
    assert ask(peer="127.0.0.1", to="fbl.test").log_arf is Reports.LOG_THEN_DROP
    assert ask(peer="127.0.0.1", sender="fbl.test", to="in.test").log_arf is Reports.IGNORE


def test_no_authentication_is_not_a_user_of_an_empty_name():
    """Who did not authenticate matches no list of users."""
    policy = StaticPolicy((), parse({"a.test": {"relay_from_authz": [""]}}, "d"))
    asked = Asked(parse_address("192.0.2.1"), 1, "h:25", "a.test", "b.test")
    assert not policy.check(asked).relay


def test_a_policy_of_nothing_refuses_everybody():
    """Not even loopback is special without relay_hosts."""
    policy = StaticPolicy()
    verdict = policy.check(Asked(parse_address("127.0.0.1"), 1, "127.0.0.1:25", "", ""))
    assert not verdict.accepts
    assert policy.session() is policy
