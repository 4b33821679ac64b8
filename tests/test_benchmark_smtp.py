"""The benchmark of the listener runs, leaves nothing behind, and idle clients cost little."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from support import need

from benchmarks import smtp
from benchmarks.smtp_load import SCRIPTS, Load, compiled, play
from benchmarks.smtp_servers import SERVERS, Missing, cpu, tree


def left():
    """Folders of this process's servers that are still there."""
    return set(Path(tempfile.gettempdir()).glob(f"guard-postfix-{os.getpid()}-*"))


@pytest.mark.redis
@pytest.mark.parametrize("name", SERVERS)
def test_a_server_plays_every_script(name):
    """Whole sessions of each sort, CPU time that grows with them, and no process afterwards."""
    before = left()
    try:
        with SERVERS[name]() as server:
            for script in SCRIPTS.values():
                used = cpu(server.pid)
                assert play(server.port, script, 10, 0.1) >= 10
                assert cpu(server.pid) > used
            members = tree(server.pid)
    except Missing as error:
        need(name != "guard", str(error))
        pytest.skip(str(error))  # a peer may be missing anywhere
    assert not [pid for pid in members if Path(f"/proc/{pid}").exists()]
    assert left() <= before


@pytest.mark.redis
def test_both_sorts_of_clients_play_the_same(monkeypatch):
    """Without a compiler the clients are Python's, and no session of theirs fails either."""
    need(bool(shutil.which("redis-server")), "redis-server")
    need(bool(compiled("visitors.c")), "a compiler")
    with SERVERS["guard"]() as server:
        for script in SCRIPTS.values():
            assert play(server.port, script, 5, 0.1) >= 5
        monkeypatch.setattr("benchmarks.smtp_load.compiled", lambda source: None)
        for script in SCRIPTS.values():
            assert play(server.port, script, 5, 0.1) >= 5


def test_a_session_that_fails_is_told():
    """Clients of a server that says nothing, or hangs up, are failures and not sessions."""
    load = Load(0, SCRIPTS["reject"], 1)
    load.running = False
    load.ended(complete=False)
    assert (load.sessions, load.failures) == (0, 1)


@pytest.mark.redis
def test_we_do_more_with_a_processor_than_aiosmtpd():
    """A refused session costs less than half of what it costs stock aiosmtpd: far from the real
    figure (docs/listener.md), so that a machine that does other things does not matter."""
    need(bool(shutil.which("redis-server")), "redis-server")
    found, missing = smtp.run(0.3, 3, ["guard", "aiosmtpd"], ["reject"])
    assert not missing
    assert found["reject"]["guard"] > 2 * found["reject"]["aiosmtpd"]
    assert "reject" in smtp.table(found)


@pytest.mark.redis
def test_an_idle_connection_costs_less_than_ten_kilobytes():
    """5,000 that said EHLO and then nothing stay within 10 KiB of memory each."""
    try:
        each = smtp.idle()
    except Missing as error:
        need(False, str(error))
    assert each < 10 * 1024
