"""Where Redis is, as operators write it, and the client for it.

    redis://[user:password@]host[:port][/db]       rediss:// with TLS, unix:///path?db=0
    redis+sentinel://host[:port],host.../NAME[/db]   the primary that Sentinel calls NAME
    redis+cluster://host[:port],host...              Redis Cluster, found through any node

`rediss+sentinel` and `rediss+cluster` speak TLS, and believe no server whose certificate is not for
its name and of a CA that they know. What lets us in lies in files or in a systemd credential, which
are read at each connection, so that a new password counts from the next one. A client made here
never repeats a command by itself: a script that counted and lost its answer must not count twice.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from guard.lib.logs import printable
from guard.lib.secrets import BadSecret, read_secret

if TYPE_CHECKING:
    import ssl

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


class Access(NamedTuple):
    """Where it lies what lets us in: a password; the CA to believe; our own certificate."""

    password_file: Path | None = None
    credential: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def secret(self) -> bool:
        """Whether a password is named."""
        return self.password_file is not None or bool(self.credential)

    def context(self) -> ssl.SSLContext:
        """What TLS would be spoken with. Raises BadSecret for a file that is no use."""
        import ssl

        tried = self.ca
        try:
            made = ssl.create_default_context(cafile=self.ca)
            tried = self.certificate
            if self.certificate is not None:
                made.load_cert_chain(self.certificate, self.key, password="")
        except (OSError, ValueError) as error:
            if self.key is not None and tried == self.certificate:
                tried = self.key if self.certificate and self.certificate.is_file() else tried
            why = getattr(error, "reason", None) or getattr(error, "strerror", None)
            raise BadSecret(f"{tried}: {why or 'cannot be read'}") from None
        return made


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
    access: Access = Access()

    def __repr__(self) -> str:
        return f"<{self}>"

    def __str__(self) -> str:
        """The URL without user and password, for messages."""
        scheme = ("rediss" if self.tls else "redis") + (f"+{self.way}" if self.way else "")
        if self.path:
            return f"unix://{self.path}"
        hosts = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.hosts)
        tail = "" if self.way == "cluster" else f"/{self.db}"
        return f"{scheme}://{hosts}{'/' + self.service if self.service else ''}{tail}"


def parse_redis_url(url: str | RedisUrl) -> RedisUrl:
    """Takes `url` apart, if it is not yet. Raises ValueError, without the password in its text."""
    if isinstance(url, RedisUrl):
        return url
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


class _Login:
    """What redis-py asks at each connection for the name and the password."""

    def __init__(self, url: RedisUrl) -> None:
        self._url = url

    def get_credentials(self) -> tuple[str, ...]:
        """As AUTH takes them."""
        from redis.exceptions import AuthenticationError

        access, user = self._url.access, self._url.user
        try:
            word = read_secret(access.password_file, access.credential).reveal()
        except BadSecret as error:
            raise AuthenticationError(str(error)) from None
        return (word,) if user is None else (user, word)


def connect(url: RedisUrl, *, timeout: float = 5.0) -> Any:
    """A client for `url`, of bytes; it connects when it is first used. Raises BadSecret.

    Any, for redis-py's types leave open whether answers are bytes, text or awaitable.
    """
    redis: Any = import_module("redis")
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    tls = _tls(url) if url.tls else {}
    options: dict[str, Any] = {
        **_login(url),
        **tls,
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "health_check_interval": 15,
    }
    once = Retry(NoBackoff(), 0)
    if url.way == "cluster":
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in url.hosts]
        return redis.RedisCluster(startup_nodes=nodes, **options)
    if url.way == "sentinel":
        asked = {**tls, "socket_timeout": timeout, "socket_connect_timeout": timeout}
        sentinel = redis.Sentinel(list(url.hosts), sentinel_kwargs=asked)
        return sentinel.master_for(url.service, db=url.db, retry=once, **options)
    if url.path:
        return redis.Redis(unix_socket_path=url.path, db=url.db, retry=once, **options)
    (host, port), *_ = url.hosts
    return redis.Redis(host, port, db=url.db, retry=once, **options)


def _login(url: RedisUrl) -> dict[str, Any]:
    if not url.access.secret:
        return {"username": url.user, "password": url.password}
    return {"credential_provider": _Login(url)}


def _tls(url: RedisUrl) -> dict[str, Any]:
    access = url.access
    access.context()
    named = {
        "ssl_ca_certs": access.ca,
        "ssl_certfile": access.certificate,
        "ssl_keyfile": access.key,
    }
    files = {option: str(path) for option, path in named.items() if path is not None}
    # redis-py did not compare names before 6.0.
    return {"ssl": True, "ssl_cert_reqs": "required", "ssl_check_hostname": True, **files}


def redis_errors() -> tuple[type[Exception], ...]:
    """All that a client made here raises when something is wrong with Redis."""
    from redis import exceptions

    # redis-py derives these from Exception alone.
    return exceptions.RedisError, exceptions.RedisClusterException, OSError


# What OpenSSL says, in an operator's words.
_SAID = (
    (
        r"certificate verify failed: (.*?)\.?(?: \(_ssl|$)",
        r"its certificate is not trusted: \1 (tls_ca)",
    ),
    (r"WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG", "it speaks no TLS at this port"),
    (
        r"[Tt]imed? ?out connecting.*",
        r"\g<0>; does it speak TLS at this port?",  # Redis waits for the end of a line
    ),
    (
        # With TLS 1.3 a server refuses our certificate when our side is done already.
        r"EOF occurred|Connection closed|[Cc]onnection reset|ALERT_[A-Z_]*CERT|ALERT_UNKNOWN_CA",
        "it ended the connection; does it want a certificate of ours, or trust another CA than "
        "that of tls_certificate?",
    ),
    (r"HANDSHAKE_FAILURE|ALERT_PROTOCOL_VERSION|NO_PROTOCOLS", "it has no TLS that we speak"),
)


def said(url: RedisUrl, error: BaseException) -> str:
    """What `error`, of a client for `url`, says: in a line that may be shown."""
    text = str(error)
    if text.startswith("No master found"):  # redis-py goes on with all that it is made of
        more = " over TLS, with these certificates" if url.tls else ""
        return printable(f"no Sentinel tells{more} who {url.service!r} is")
    for pattern, words in _SAID if url.tls else ():
        if found := re.search(pattern, text):
            return printable(found.expand(words))[:250]
    return printable(text)[:200]
