"""From an address in an envelope to the domain that rules are looked up by."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.relay.domain import canonical_domain, domain_of


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("", ""),
        ("<>", ""),
        ("Postmaster", ""),
        ("<postmaster>", ""),
        ("user@Example.COM", "example.com"),
        ("<user@example.com.>", "example.com"),
        ("@a,@b:user@example.com", "example.com"),
        ('"a@b"@Example.com', "example.com"),
        ('"a@b"', ""),
        ("user@[10.0.0.1]", "[10.0.0.1]"),
        ("user@[IPv6:0:0::1]", "[IPv6:::1]"),
        ("user@[ipv6:2001:DB8::1]", "[IPv6:2001:db8::1]"),
        ("user@[IPv6:::FFFF:10.0.0.1]", "[IPv6:::ffff:10.0.0.1]"),
        ("user@[Nonsense]", "[nonsense]"),
        ("user@münchen.de", "xn--mnchen-3ya.de"),
        ("user@MÜNCHEN.de", "xn--mnchen-3ya.de"),
        ("user@XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"),
        ("user@straße.de", "xn--strae-oqa.de"),
        ("user@☕.example", "xn--53h.example"),
        ("user@a。b", "a.b"),
        ("user@Under_Score.example", "under_score.example"),
        ("user@a\uff1eb.test", "a\uff1eb.test"),
        ("user@a\uff20b.test", "a\uff20b.test"),
        ("user@a\u3000b.test", "a\u3000b.test"),
        ("user@\u00ad", "\u00ad"),
        ("user@\u00ad.test", "\u00ad.test"),
        ("user@" + "\u00fc" * 60 + ".test", "\u00fc" * 60 + ".test"),
        ("user@", ""),
        ("@", ""),
    ],
)
def test_the_domain_of_an_address_is_canonical(address, domain):
    """Lower-case A-labels, literals normalised, and "" wherever there is no domain."""
    assert domain_of(address) == domain


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_any_text_has_a_domain_that_stays_as_it_is(text):
    """Nothing a peer writes raises, and what is canonical does not change again."""
    domain = domain_of(f"user@{text}")
    assert canonical_domain(domain) == domain or not domain.isascii() or domain.endswith(".")


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(min_codepoint=0x80, exclude_categories=["Cs"]), min_size=1))
def test_no_character_beyond_ascii_becomes_punctuation(text):
    """Else an address could end early, or hold another one, once its domain is written out."""
    domain = canonical_domain(f"a{text}b.test")
    assert re.fullmatch(r"[a-z0-9_.-]+", domain) or domain == f"a{text}b.test".lower()
