"""Hosts that share a store share a day's questions: none of them overruns the service."""

import threading

import pytest
from abuseipdb_server import AbuseIpdb as Server

from guard.enrichment.abuseipdb import AbuseIpdb
from guard.enrichment.allowance import Allowance
from guard.enrichment.answers import LookUpFailed
from guard.enrichment.settings import AbuseIpdbCheck
from guard.lib.networks import parse_network
from guard.lib.secrets import Secret
from guard.stores.quotas import open_quotas
from guard.stores.settings import StoreSettings

NOON = 1_757_678_400.0
KEY = "0123456789abcdef"


@pytest.mark.redis
def test_three_hosts_at_once_ask_no_more_than_the_day_has(redis_url, tmp_path):
    """Each tries all; together they get what the service gives, on two days."""
    answered = []
    with Server(lambda: now, limits={"check": 20}) as server:
        settings = AbuseIpdbCheck(url=server.url, per_day=20)
        server.known = {f"192.0.2.{n}": {"abuseConfidenceScore": n} for n in range(15)}

        def host():
            quotas = open_quotas(StoreSettings(url=redis_url), tmp_path)
            allowance = Allowance(quotas, "abuseipdb.check", settings.per_day)
            service = AbuseIpdb(settings, lambda: Secret(KEY), allowance, allowance)
            for number in range(15):
                try:
                    answered.append(service.look_up(parse_network(f"192.0.2.{number}"), now).score)
                except LookUpFailed as error:
                    assert "questions of today are spent" in str(error)
            quotas.close()

        for day in (0, 1):
            now = NOON + day * 86400
            hosts = [threading.Thread(target=host) for _ in range(3)]
            for thread in hosts:
                thread.start()
            for thread in hosts:
                thread.join()
            assert len(answered) == 20 * (day + 1)
        assert not server.overruns
