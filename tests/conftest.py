"""What tests share: a real Redis, the kernel's namespaces, data beside the project.

A test that needs something which this machine lacks skips and says so; in CI (CI=true) it fails
instead, because CI must not skip what needs the kernel, Redis or fail2ban.
"""

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from support import SHARED, RedisServer, need, valkey

# No test asserts a time, and a machine that is busy with others' tests is no fault of ours.
settings.register_profile("guard", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("guard")


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Honours the markers root, redis and fail2ban."""
    if request.node.get_closest_marker("root"):
        need(os.geteuid() == 0, "root, for network namespaces and the kernel's firewall")
    if request.node.get_closest_marker("redis"):
        need(bool(shutil.which("redis-server")), "redis-server")
    if request.node.get_closest_marker("fail2ban"):
        need(bool(shutil.which("fail2ban-regex")), "fail2ban")


@pytest.fixture
def shared() -> Path:
    """The folder of real samples beside the project; tests of it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the sample data beside the project")
    return SHARED / "data"


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory):
    need(bool(shutil.which("redis-server")), "redis-server")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_url(_redis: RedisServer):
    """The URL of a real, empty Redis that the whole test run shares."""
    import redis

    with redis.Redis.from_url(_redis.url) as client:
        client.flushall()
    return _redis.url


@pytest.fixture(scope="session")
def _valkey(tmp_path_factory: pytest.TempPathFactory):
    server = RedisServer(tmp_path_factory.mktemp("valkey"), valkey())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def valkey_url(_valkey: RedisServer):
    """The same of a real Valkey."""
    import redis

    with redis.Redis.from_url(_valkey.url) as client:
        client.flushall()
    return _valkey.url


@pytest.fixture
def redis_server(tmp_path: Path):
    """A real Redis of this test alone, which may stop and start it."""
    need(bool(shutil.which("redis-server")), "redis-server")
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.stop()
