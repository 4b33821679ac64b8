"""Listeners that are stopped at the end, on asyncio and on uvloop; certificates; an account."""

import asyncio
import shutil

import argon2
import pytest
import uvloop
from listening import Running, make_certificate
from support import need

from guard.relay.credentials import PasswordFile

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def loops(request):
    """Makes event loops of each sort."""
    return LOOPS[request.param]


@pytest.fixture
def listen(loops, tmp_path):
    """Starts listeners with the given settings and stops them all."""
    started = []

    def start(**more):
        running = Running(loops, tmp_path, **more)
        started.append(running)
        return running

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """Certificate and key for HOST, as listener settings."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def accounts():
    """The account daniel with the password tiger, hashed so that checking costs little."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    users = PasswordFile({"daniel": hasher.hash("tiger")})
    yield users
    users.close()


@pytest.fixture
def tool():
    """Finds a program; without it the test skips, or fails in CI."""

    def find(name):
        found = shutil.which(name)
        need(bool(found), name)
        return found

    return find
