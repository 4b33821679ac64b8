"""The steps that relay-check tells: those of the decision, whatever is asked."""

from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import parse_address, parse_network
from guard.relay.explain import explain
from guard.relay.listener_domains import parse
from guard.relay.policy import StaticPolicy
from guard.relay.verdict import Asked

_FLAG = st.sampled_from([True, False, "Ignore", "LogThenDrop", "LogThenRelay"])
_ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "relay_to": st.booleans(),
        "relay_from": st.lists(st.sampled_from(["192.0.2.0/24", "10.0.0.1"]), max_size=2),
        "relay_from_authz": st.lists(st.sampled_from(["ann", "bob"]), max_size=2),
        "log_oob": _FLAG,
        "log_arf": _FLAG,
    },
)
_DOMAIN = st.sampled_from(["", "a.test", "b.a.test", "c.test"])


def steps(policy, asked):
    """What is told of one question."""
    verdict, found = policy.check(asked), policy.entries(asked)
    return list(explain(asked, policy.relay_hosts, *found, verdict, policy.where))


@settings(deadline=None, max_examples=200)
@given(
    st.dictionaries(st.sampled_from(["*", "a.test", "*.a.test"]), _ENTRY, max_size=3),
    st.sampled_from([(), ("192.0.2.1",), ("192.0.2.0/25", "::1")]),
    st.sampled_from(["192.0.2.1", "10.0.0.1", "::1"]),
    _DOMAIN,
    _DOMAIN,
    st.sampled_from([None, "ann"]),
)
def test_the_steps_agree_with_the_decision(domains, hosts, peer, sender, recipient, authz):
    """Some step allows exactly if the message is relayed, and the place that decided is told."""
    policy = StaticPolicy(map(parse_network, hosts), parse(domains, "d"), "g:relay_hosts")
    asked = Asked(parse_address(peer), 1, "h:25", sender, recipient, "", authz)
    told, verdict = steps(policy, asked), policy.check(asked)
    assert any(step.allows for step in told) == verdict.relay
    assert verdict.where in {step.where for step in told}
    assert (told[-1].when == "DATA") == verdict.accepts
    if verdict.relay:
        assert verdict.where in {step.where for step in told if step.allows}


def test_it_says_why_anybody_may_connect():
    """The question that operators ask first is answered in the first step."""
    asked = Asked(parse_address("203.0.113.5"), 1, "h:25", "", "gmail.com")
    first, hosts, *rest = steps(StaticPolicy(), asked)
    assert "Anybody may connect" in first.text
    assert "decided at RCPT TO" in first.text
    assert (hosts.text, hosts.allows) == ("203.0.113.5 is not in relay_hosts", False)
    assert [step.text for step in rest] == [
        "a sender without a domain: no entry",
        "the recipient domain gmail.com: no entry",
    ]


def test_what_becomes_of_reports_at_the_end_of_data_is_told():
    """`true` logs and relays nothing; the two words do what they say."""
    some = parse(
        {
            "a.test": {"log_oob": True, "log_arf": "LogThenDrop"},
            "b.test": {"log_oob": "LogThenRelay"},
        },
        "d",
    )
    texts = {
        domain: [
            step.text
            for step in steps(
                StaticPolicy((), some), Asked(parse_address("203.0.113.5"), 1, "h:25", "", domain)
            )
            if step.when == "DATA"
        ]
        for domain in ("a.test", "b.test", "c.test")
    }
    assert texts == {
        "a.test": [
            "a bounce (RFC 3464) is logged and goes no further",
            "a complaint (RFC 5965) is logged and dropped",
            "any other message is refused: 550 5.7.1 relaying not permitted",
        ],
        "b.test": [
            "a bounce (RFC 3464) is logged and relayed, whoever sends it",
            "any other message is refused: 550 5.7.1 relaying not permitted",
        ],
        "c.test": [],
    }


def test_what_the_entries_hide_is_told():
    """The commonest reason for a verdict that nobody expected."""
    some = parse({"*.a.test": {"relay_to": True}, "b.a.test": {"log_oob": True}}, "d")
    policy = StaticPolicy((), some)
    asked = Asked(parse_address("203.0.113.5"), 1, "h:25", "b.a.test", "b.a.test")
    verdict, found = policy.check(asked), policy.entries(asked)
    told = explain(asked, policy.relay_hosts, *found, verdict, "", some.entries)
    minded = [step.text for step in told if step.text.startswith("mind that")]
    assert minded == [
        'mind that "b.a.test" hides relay_to of "*.a.test", for entries do not merge',
        'mind that "b.a.test" takes names below b.a.test out of "*.a.test": '
        "a longer key ends its reach",
    ]
