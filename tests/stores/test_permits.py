"""Whom an operator lets in by hand: kept on a host, shared in a fleet, known without Redis."""

import pytest

from guard.events import Permit
from guard.lib.networks import parse_network
from guard.lib.redis_url import connect, parse_redis_url
from guard.roles import Forbidden, Unavailable
from guard.stores.permits import KEY, FilePermits, RedisPermits

A, B = parse_network("185.4.0.7"), parse_network("2a03::/32")
NOW = 1000.0


def in_redis(url, folder, opened):
    client = connect(parse_redis_url(url), timeout=1.0)
    opened.append(client)
    return RedisPermits(client, "test", FilePermits(folder))


@pytest.fixture
def opened():
    clients = []
    yield clients
    for client in clients:
        client.close()


@pytest.fixture(params=["file", "redis"])
def permits(request, tmp_path, opened):
    """Opens the same permits again and again."""
    if request.param == "file":
        return lambda: FilePermits(tmp_path)
    url = request.getfixturevalue("redis_url")
    return lambda: in_redis(url, tmp_path, opened)


def test_permits_are_kept_until_they_end(permits):
    """Replaced by network, withdrawn by exactly that, gone when their time is over."""
    one = permits()
    assert one.permits(NOW) == []
    one.permit(Permit(A, NOW, NOW + 60, "office"))
    one.permit(Permit(B, NOW, None, ""))
    one.permit(Permit(A, NOW + 1, NOW + 90, "the office"))
    held = [Permit(A, NOW + 1, NOW + 90, "the office"), Permit(B, NOW, None, "")]
    assert sorted(one.permits(NOW + 2)) == held
    assert sorted(permits().permits(NOW + 89)) == held
    assert permits().permits(NOW + 90) == held[1:]
    assert not one.withdraw(parse_network("2a03::"), NOW + 90)
    assert one.withdraw(B, NOW + 90)
    assert permits().permits(NOW + 90) == []


def test_a_spoilt_file_is_passed_over(tmp_path, caplog):
    """And a folder that cannot be written is told."""
    (tmp_path / "allowed.json").write_text('{"x": 1}')
    assert FilePermits(tmp_path).permits(NOW) == []
    assert "passed over" in caplog.text
    with pytest.raises(Forbidden, match="cannot write"):
        FilePermits(tmp_path / "allowed.json" / "below").replace([])


def test_a_host_knows_them_while_redis_is_gone(redis_server, tmp_path, opened):
    """From its own copy, after a restart too; changes have to wait."""
    made = in_redis(redis_server.url, tmp_path, opened)
    made.permit(Permit(A, NOW, None, "office"))
    assert made.permits(NOW) == [Permit(A, NOW, None, "office")]
    redis_server.stop()
    assert made.permits(NOW) == [Permit(A, NOW, None, "office")]
    again = in_redis(redis_server.url, tmp_path, opened)
    assert again.permits(NOW) == [Permit(A, NOW, None, "office")]
    with pytest.raises(Unavailable, match="does not answer"):
        again.permit(Permit(B, NOW, None, ""))


def test_what_others_write_there_is_nothing(redis_url, tmp_path, opened):
    """Neither names nor values that are none."""
    made = in_redis(redis_url, tmp_path, opened)
    made.permit(Permit(A, NOW, None, ""))
    opened[0].hset(KEY, mapping={"x": "{}", "185.4.0.9": "no", b"\xff": "1", "185.4.0.8": "{}"})
    assert made.permits(NOW) == [Permit(A, NOW, None, "")]
