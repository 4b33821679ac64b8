"""AbuseIPDB asked about an address and a block, by a server that answers as it does."""

import pytest
from abuseipdb_server import AbuseIpdb as Server

from guard.enrichment.abuseipdb import AbuseIpdb, of_address, of_block
from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed, NotAsked
from guard.enrichment.settings import AbuseIpdbCheck
from guard.events import Opinion
from guard.lib.networks import parse_network
from guard.lib.secrets import Secret

KEY = "0123456789abcdef"
NOON = 1_757_678_400.0
A = parse_network("118.25.6.39")
DATA = {
    "ipAddress": "118.25.6.39", "isPublic": True, "ipVersion": 4, "isWhitelisted": None,
    "abuseConfidenceScore": 87, "countryCode": "CN", "usageType": "Data Center/Web Hosting/Transit",
    "isp": "Tencent\x1b]0;x\x07", "domain": "tencent.com", "hostnames": [], "isTor": False,
    "totalReports": 12, "numDistinctUsers": 5, "lastReportedAt": "2025-09-11T20:55:14+00:00",
}  # fmt: skip
BLOCK = {
    "networkAddress": "192.0.2.0", "netmask": "255.255.255.0", "minAddress": "192.0.2.1",
    "maxAddress": "192.0.2.254", "numPossibleHosts": 254, "addressSpaceDesc": "TEST-NET-1",
    "reportedAddress": [
        {"ipAddress": f"192.0.2.{n}", "numReports": n, "abuseConfidenceScore": 10 * n}
        for n in range(1, 6)
    ],
}  # fmt: skip


@pytest.fixture
def server():
    with Server(lambda: NOON, limits={"check": 2, "check-block": 1}) as made:
        yield made


@pytest.fixture
def service(server, quotas):
    settings = AbuseIpdbCheck(url=server.url, timeout=2.0)
    return AbuseIpdb(
        settings, lambda: Secret(KEY), Allowance(quotas, "c", 1000), Allowance(quotas, "b", 100)
    )


def test_an_address_has_score_reports_and_owner(server, service):
    """Names of strangers come out escaped; what is not said is left out."""
    server.known[str(A)] = DATA
    assert service.look_up(A, NOON) == Opinion(
        "abuseipdb",
        87,
        "reported",
        facts={
            "reports": "12",
            "reporters": "5",
            "last report": "2025-09-11T20:55:14+00:00",
            "usage type": "Data Center/Web Hosting/Transit",
            "ISP": "Tencent\\x1b]0;x\\x07",
            "domain": "tencent.com",
            "country": "CN",
        },
    )
    ((method, path, headers, _),) = server.asked
    assert (method, path) == ("GET", f"/api/v2/check?ipAddress={A}&maxAgeInDays=30")
    assert headers["Key"] == KEY
    assert KEY not in path


def test_a_block_has_the_worst_of_its_addresses(server, service):
    """check-block, with a quota of its own and the widest block that the plan allows."""
    server.known["192.0.2.0/24"] = BLOCK
    found = service.look_up(parse_network("192.0.2.0/24"), NOON)
    assert (found.score, found.verdict) == (50, "reported")
    assert found.facts == {
        "addresses reported": "5",
        "worst": "192.0.2.5 50, 192.0.2.4 40, 192.0.2.3 30",
        "space": "TEST-NET-1",
    }
    with pytest.raises(NotAsked, match="blocks up to /24 only"):
        service.look_up(parse_network("192.0.0.0/16"), NOON)
    assert len(server.asked) == 1


def test_the_headers_and_the_refusals_end_the_asking(server, service):
    """Another user of the key left two questions: a third is not asked."""
    server.known[str(A)] = DATA
    service.look_up(A, NOON)
    assert service.allowance.left(NOON) == 1
    service.look_up(A, NOON)
    with pytest.raises(LookUpFailed, match="questions of today are spent"):
        service.look_up(A, NOON)
    assert not server.overruns


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("html", "its answer is no JSON"),
        ("500", "status 500: Server Error"),
        ("401", "it does not take the key: Authentication failed for ..."),
        ("slow", "the quota is spent: Too many requests."),
        ("cut", "was cut off"),
        ("hang", "no answer in time"),
    ],
)
def test_a_server_that_fails_is_a_line(server, service, way, said):
    """Without the key, which it repeats."""
    server.way = way
    with pytest.raises(LookUpFailed) as caught:
        service.look_up(A, NOON)
    assert said in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "data", [{}, {"abuseConfidenceScore": 101}, {"abuseConfidenceScore": "9"}, []]
)
def test_an_answer_without_a_score_is_none(data):
    """What is no judgement is not taken for zero."""
    with pytest.raises(LookUpFailed):
        of_address({"data": data})
    with pytest.raises(LookUpFailed):
        of_block({"data": data})


def test_odd_members_cost_only_themselves():
    """Of every wrong type there is."""
    odd = {name: [1] for name in DATA} | {"abuseConfidenceScore": 3}
    assert of_address({"data": odd}) == Opinion(
        "abuseipdb", 3, "not reported", facts={"reports": "0"}
    )
    rows = [1, None, {}, {"ipAddress": 5, "abuseConfidenceScore": "x"}]
    assert of_block({"data": {"reportedAddress": rows}}).score == 0
