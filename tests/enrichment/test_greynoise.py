"""GreyNoise: who scans everybody, and whom everybody uses."""

import json

import pytest
from listserver import Page

from guard.enrichment.answers import LookUpFailed
from guard.enrichment.greynoise import GreyNoise
from guard.enrichment.settings import GreyNoiseCheck
from guard.events import Opinion
from guard.lib.networks import parse_network

NOON = 1_757_678_400.0
A = parse_network("192.0.2.8")
SEEN = {
    "ip": "192.0.2.8", "noise": True, "riot": False, "classification": "malicious",
    "name": "unknown", "link": "https://viz.greynoise.io/ip/192.0.2.8", "last_seen": "2025-09-11",
    "message": "Success",
}  # fmt: skip
RIOT = {**SEEN, "noise": False, "riot": True, "classification": "benign", "name": "Google DNS"}
UNSEEN = {"ip": "192.0.2.8", "noise": False, "riot": False, "message": "IP not observed scanning"}


@pytest.fixture
def look_up(server, allowance, key):
    def look_up(answer, status=200, *, veto=True, with_key=True):
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        server.pages["/192.0.2.8"] = Page(body, status=status)
        settings = GreyNoiseCheck(url=server.url, timeout=2.0, veto=veto)
        return GreyNoise(settings, key if with_key else None, allowance).look_up(A, NOON)

    return look_up


def test_a_scanner_has_a_classification(server, look_up):
    """Its words make the score; a key is sent where there is one."""
    facts = {"name": "unknown", "scans the Internet": "yes", "last seen": "2025-09-11"}
    assert look_up(SEEN) == Opinion("greynoise", 100, "malicious", facts=facts)
    assert look_up({**SEEN, "classification": "benign"}, with_key=False).score == 0
    assert look_up({**SEEN, "classification": "\x1b"}).score is None
    assert ["key" in headers for _, headers in server.asked] == [True, False, True]


def test_a_service_that_all_use_is_a_veto(look_up):
    """Unless vetoes are off."""
    found = look_up(RIOT)
    assert (found.veto, found.verdict, found.facts["name"]) == (
        True,
        "common service",
        "Google DNS",
    )
    assert not look_up(RIOT, veto=False).veto


def test_never_seen_is_none_and_a_page_that_is_not_there_is_not(look_up):
    """Both are 404."""
    assert look_up(UNSEEN, 404) is None
    for body in (b"<html>", b"{}", b'{"message": "no such page"}'):
        with pytest.raises(LookUpFailed):
            look_up(body, 404)


@pytest.mark.parametrize("answer", [{}, {**SEEN, "riot": 1}, {**SEEN, "riot": "true"}])
def test_a_veto_is_a_truth_and_nothing_like_it(look_up, answer):
    """What is not true or false protects nobody."""
    with pytest.raises(LookUpFailed, match="no judgement"):
        look_up(answer)
