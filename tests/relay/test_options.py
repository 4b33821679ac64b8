"""The options of a listener domain, as written in files and given by hooks."""

import pytest

from guard.lib.networks import parse_address
from guard.relay.options import ListenerDomain, listener_domain
from guard.relay.verdict import Reports


def test_no_options_allow_nothing():
    """An empty entry is a domain with every option off."""
    made = listener_domain({})
    assert made == ListenerDomain()
    assert not made.relay_to
    assert not made.relay_from
    assert made.log_oob is made.log_arf is Reports.IGNORE


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (True, Reports.LOG),
        (False, Reports.IGNORE),
        ("Ignore", Reports.IGNORE),
        ("LogThenDrop", Reports.LOG_THEN_DROP),
        ("LogThenRelay", Reports.LOG_THEN_RELAY),
    ],
)
def test_the_five_ways_to_say_what_becomes_of_reports(written, meant):
    """KumoMTA's words mean what they mean there; `true` is Log, which never relays by itself."""
    made = listener_domain({"log_oob": written, "log_arf": written})
    assert made.log_oob is made.log_arf is meant


def test_relay_from_takes_blocks_of_both_families_and_any():
    """A CIDR list, and the word `any` for everybody."""
    some = listener_domain({"relay_from": ["10.0.0.0/24", "2001:db8::/32"]}).relay_from
    assert some.covers(parse_address("10.0.0.255"))
    assert some.covers(parse_address("2001:db8::5"))
    assert not some.covers(parse_address("10.0.1.0"))
    everybody = listener_domain({"relay_from": ["any"]}).relay_from
    assert everybody.covers(parse_address("192.0.2.1"))
    assert everybody.covers(parse_address("::2"))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"log_fbl": True}, "log_fbl: unknown option, did you mean log_arf?"),
        ({"log_relay": True}, "did you mean relay_to?"),
        ({"relay_too": True}, "did you mean relay_to?"),
        ({"zzz": True}, "zzz: unknown option"),
        ({"com": {"relay_to": True}}, 'written in quotes, as in ["example.com"]'),
        ({"relay_to": "yes"}, "relay_to: must be true or false, not 'yes'"),
        ({"relay_to": 1}, "relay_to: must be true or false, not 1"),
        ({"log_arf": "yes"}, "'LogThenDrop', 'LogThenRelay', not 'yes'"),
        ({"log_oob": "Log"}, "not 'Log'"),
        ({"log_oob": []}, "log_oob: must be"),
        ({"relay_from": "10.0.0.1"}, "relay_from: must be a list"),
        ({"relay_from": ["10.0.0.1/24"]}, "relay_from[0]: 10.0.0.1/24 is not a valid CIDR"),
        ({"relay_from": ["10.0.0.1/24"]}, "Did you mean 10.0.0.0/24?"),
        ({"relay_from": ["::1", 5]}, "relay_from[1]: must be text in quotes, not 5"),
        ({"relay_from": ["localhost"]}, "relay_from[0]: 'localhost' is not an IP address"),
        ({"relay_from_authz": "john"}, "relay_from_authz: must be a list"),
        ({"relay_from_authz": [1]}, "relay_from_authz[0]: must be text"),
    ],
)
def test_a_fault_says_what_and_where(options, says):
    """Every wrong option is named, with what to write instead where that can be known."""
    with pytest.raises(ValueError) as error:
        listener_domain(options)
    assert says in str(error.value)


def test_all_faults_are_told_at_once():
    """Three mistakes are three messages, not three attempts."""
    with pytest.raises(ValueError) as error:
        listener_domain({"relay_to": 0, "log_fbl": True, "relay_from": ["x", "y"]})
    assert len(str(error.value).split("; ")) == 4


def test_the_retired_ttl_is_accepted_and_means_nothing():
    """KumoMTA accepts it and ignores it; the same file has to load."""
    assert listener_domain({"ttl": "60s"}) == ListenerDomain()
