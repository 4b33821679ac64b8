"""VirusTotal and Google Threat Intelligence: one API, with or without its assessment."""

import json

import pytest
from listserver import Page

from guard.enrichment.answers import LookUpFailed, NotAsked
from guard.enrichment.settings import VirusTotalCheck
from guard.enrichment.virustotal import VirusTotal, of_address
from guard.events import Opinion
from guard.lib.networks import parse_network

NOON = 1_757_678_400.0
A = parse_network("2001:db8::1")
STATS = {"harmless": 60, "malicious": 9, "suspicious": 1, "undetected": 30, "timeout": 0}
ATTRIBUTES = {
    "last_analysis_stats": STATS, "reputation": -12, "as_owner": "Example", "asn": 64500,
    "country": "DE",
}  # fmt: skip
PATH = "/ip_addresses/2001:db8::1"


@pytest.fixture
def service(server, key, allowance):
    return VirusTotal(VirusTotalCheck(url=server.url, timeout=2.0), key, allowance)


def tree(**attributes):
    return {"data": {"attributes": {**ATTRIBUTES, **attributes}}}


def test_engines_make_a_score(server, service):
    """Without a licence it is the share of engines against the address."""
    server.pages[PATH] = Page(json.dumps(tree()).encode())
    assert service.look_up(A, NOON) == Opinion(
        "virustotal",
        10,
        "malicious",
        facts={
            "engines against it": "10 of 100",
            "reputation": "-12",
            "owner": "Example",
            "AS": "64500",
            "country": "DE",
        },
    )
    ((_, headers),) = server.asked
    assert headers["x-apikey"] == "c0ffee00" * 4


def test_googles_assessment_comes_first():
    """Its threat score and verdict; nonsense in it is passed over."""
    gti = {"verdict": {"value": "VERDICT_MALICIOUS"}, "threat_score": {"value": 92}}
    found = of_address(tree(gti_assessment=gti))
    assert (found.score, found.verdict) == (92, "malicious")
    odd = of_address(tree(gti_assessment={"verdict": 1, "threat_score": {"value": "9"}}))
    assert (odd.score, odd.verdict) == (10, "malicious")
    clean = of_address(tree(last_analysis_stats={"harmless": 9}))
    assert (clean.score, clean.verdict) == (0, "nothing against it")


def test_unknown_is_none_and_other_404s_are_not(server, service):
    """Its own code says that it has not heard of the address; no such page says nothing."""
    server.pages[PATH] = Page(b'{"error": {"code": "NotFoundError", "message": "x"}}', status=404)
    assert service.look_up(A, NOON) is None
    server.pages[PATH] = Page(b"{}", status=404)
    with pytest.raises(LookUpFailed, match="status 404"):
        service.look_up(A, NOON)


def test_only_addresses_are_asked_about(server, service):
    """No quota is spent for what it cannot answer."""
    with pytest.raises(NotAsked):
        service.look_up(parse_network("2001:db8::/64"), NOON)
    assert service.allowance.left(NOON) == 100
    with pytest.raises(LookUpFailed, match="no judgement"):
        of_address({"data": []})
