"""A reporter with a clock of its own, an outbox on disk, and AbuseIPDB on loopback."""

import pytest
from abuseipdb_host import KEY, Clock, Host
from abuseipdb_server import AbuseIpdb


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def server(clock):
    with AbuseIpdb(clock, key=KEY) as made:
        yield made


@pytest.fixture
def hosts(tmp_path, server, clock):
    """Makes hosts."""
    made = []

    def make(name="host", **more):
        made.append(Host(tmp_path / name, server, clock, **more))
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def host(hosts):
    return hosts()
