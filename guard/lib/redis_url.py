"""Where Redis is, as operators write it, and the client for it.

    redis://[user:password@]host[:port][/db]       rediss:// with TLS, unix:///path?db=0
    redis+sentinel://host[:port],host.../NAME[/db]   the primary that Sentinel calls NAME
    redis+cluster://host[:port],host...              Redis Cluster, found through any node

`rediss+sentinel` and `rediss+cluster` speak TLS. A client made here never repeats a command by
itself: a script that counted and lost its answer must not count twice.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

SCHEMES = (
    "redis://",
    "rediss://",
    "unix://",
    "redis+sentinel://",
    "rediss+sentinel://",
    "redis+cluster://",
    "rediss+cluster://",
)
_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}


class RedisUrl(NamedTuple):
    """A URL taken apart. `way` is empty, `sentinel` or `cluster`."""

    way: str = ""
    tls: bool = False
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    db: int = 0
    user: str | None = None
    password: str | None = None

    def __str__(self) -> str:
        """The URL without user and password, for messages."""
        scheme = ("rediss" if self.tls else "redis") + (f"+{self.way}" if self.way else "")
        if self.path:
            return f"unix://{self.path}"
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        tail = "" if self.way == "cluster" else f"/{self.db}"
        return f"{scheme}://{hosts}{'/' + self.service if self.service else ''}{tail}"


def parse_redis_url(url: str) -> RedisUrl:
    """Takes `url` apart. Raises ValueError, without the password in its text."""
    if not url.startswith(SCHEMES):
        raise ValueError(f"does not begin with one of {', '.join(SCHEMES)}")
    scheme, _, rest = url.partition("://")
    if scheme == "unix":
        parts = urlsplit(url)
        number = parse_qs(parts.query).get("db", ["0"])[0]
        if not parts.path or not number.isdecimal():
            raise ValueError("is not of the form unix:///path/to/socket?db=0")
        user, password = _credentials(parts.netloc.rpartition("@")[0])
        place = unquote(parts.path)
        return RedisUrl(path=place, db=int(number), user=user, password=password)
    name, _, way = scheme.partition("+")
    authority, _, path = rest.partition("/")
    login, _, hosts = authority.rpartition("@")
    words = path.split("/") if path else []
    service = words.pop(0) if way == "sentinel" and words else ""
    if way == "sentinel" and not service:
        raise ValueError("does not name the primary: redis+sentinel://host/NAME")
    if len(words) > 1 or (words and not words[0].isdecimal()) or (words and way == "cluster"):
        raise ValueError("does not end with the number of a database")
    found = tuple(_host(text, _PORTS[way]) for text in hosts.split(","))
    if not way and len(found) != 1:
        raise ValueError("names several hosts, which only +sentinel and +cluster take")
    user, password = _credentials(login)
    return RedisUrl(
        way=way,
        tls=name == "rediss",
        hosts=found,
        service=service,
        db=int(words[0]) if words else 0,
        user=user,
        password=password,
    )


def _host(text: str, default: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("has a port that is no number from 1 to 65535")
    return host.strip("[]") or "localhost", int(port)


def _credentials(text: str) -> tuple[str | None, str | None]:
    user, colon, password = text.partition(":")
    return unquote(user) or None, unquote(password) if colon else None


def connect(url: RedisUrl, *, timeout: float = 5.0) -> Any:
    """A client for `url`, of bytes; it connects when it is first used.

    Any, for redis-py's types leave open whether answers are bytes, text or awaitable.
    """
    redis: Any = import_module("redis")
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "username": url.user,
        "password": url.password,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": 15,
    }
    once = Retry(NoBackoff(), 0)
    if url.tls:
        options["ssl"] = True
    if url.way == "cluster":
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in url.hosts]
        return redis.RedisCluster(startup_nodes=nodes, **options)
    if url.way == "sentinel":
        tls = {"ssl": True} if url.tls else {}
        sentinel = redis.Sentinel(
            list(url.hosts), socket_timeout=timeout, socket_connect_timeout=timeout, **tls
        )
        return sentinel.master_for(url.service, db=url.db, retry=once, **options)
    if url.path:
        return redis.Redis(unix_socket_path=url.path, db=url.db, retry=once, **options)
    (host, port), *_ = url.hosts
    return redis.Redis(host, port, db=url.db, retry=once, **options)


def redis_errors() -> tuple[type[Exception], ...]:
    """All that a client made here raises when something is wrong with Redis."""
    from redis import exceptions

    # redis-py derives these from Exception alone.
    return exceptions.RedisError, exceptions.RedisClusterException, OSError
