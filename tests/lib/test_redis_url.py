"""Redis as operators write it."""

import pytest

from guard.lib.redis_url import RedisUrl, parse_redis_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://127.0.0.1:6390/2", RedisUrl(hosts=(("127.0.0.1", 6390),), db=2)),
        ("redis://localhost", RedisUrl(hosts=(("localhost", 6379),))),
        ("redis://[::1]:7000", RedisUrl(hosts=(("::1", 7000),))),
        ("redis://[::1]", RedisUrl(hosts=(("::1", 6379),))),
        (
            "rediss://me:p%40ss@h:1/0",
            RedisUrl(tls=True, hosts=(("h", 1),), user="me", password="p@ss"),
        ),
        ("redis://:secret@h", RedisUrl(hosts=(("h", 6379),), password="secret")),
        ("unix:///run/redis.sock?db=3", RedisUrl(path="/run/redis.sock", db=3)),
        (
            "redis+sentinel://a,b:26380/mymaster/1",
            RedisUrl(way="sentinel", hosts=(("a", 26379), ("b", 26380)), service="mymaster", db=1),
        ),
        (
            "rediss+cluster://a:7000,b:7001",
            RedisUrl(way="cluster", tls=True, hosts=(("a", 7000), ("b", 7001))),
        ),
    ],
)
def test_every_form_is_read(url, expected):
    """Plain, TLS, socket, Sentinel and Cluster."""
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "http://:secret@h",
        "redis://:secret@h:port",
        "redis://:secret@h:0",
        "redis://:secret@a,b",
        "redis://:secret@h/db",
        "redis://:secret@h/1/2",
        "redis+sentinel://:secret@h",
        "redis+cluster://:secret@h/1",
        "unix://",
        "unix:///x?db=one",
    ],
)
def test_a_wrong_one_is_refused_without_its_password(url):
    """The message says what is wrong and never repeats the URL."""
    with pytest.raises(ValueError, match=r".") as raised:
        parse_redis_url(url)
    assert "secret" not in str(raised.value)


def test_it_is_shown_without_its_password():
    """For messages and the status."""
    for url in ("redis://me:secret@h:1/2", "redis+sentinel://:secret@a,b/m", "unix:///x?db=1"):
        assert "secret" not in str(parse_redis_url(url))
    assert str(parse_redis_url("redis://me:secret@[::1]:1/2")) == "redis://[::1]:1/2"
    assert (
        str(parse_redis_url("redis+sentinel://:secret@a,b/m/0"))
        == "redis+sentinel://a:26379,b:26379/m/0"
    )
