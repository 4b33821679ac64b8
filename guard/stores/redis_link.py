"""The connection of a store to Redis: scripts by their digest, errors in an operator's words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from guard.lib.redis_url import RedisUrl, connect, redis_errors, said
from guard.lib.secrets import BadSecret
from guard.roles import Forbidden, Unavailable


@cache
def script(name: str) -> tuple[str, str]:
    """The text of a script and its SHA-1, by which Redis knows it; `a+b` is two files in a row."""
    folder = files("guard.stores").joinpath("lua")
    text = "".join(folder.joinpath(f"{part}.lua").read_text("ascii") for part in name.split("+"))
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """A client and where it leads. `client` raises redis-py's errors: use it inside `errors`."""

    def __init__(self, url: RedisUrl) -> None:
        self.url = url
        with self.errors():
            try:
                self.client = connect(url)
            except BadSecret as error:
                raise Forbidden(f"Redis at {url} cannot be asked: {error}") from None

    @property
    def clustered(self) -> bool:
        """Whether keys of different slots need calls of their own."""
        return self.url.way == "cluster"

    def run(self, name: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Runs a script of ours. Raises Unavailable or Forbidden."""
        from redis.exceptions import NoScriptError

        text, digest = script(name)
        with self.errors():
            try:
                return self.client.evalsha(digest, len(keys), *keys, *arguments)
            except NoScriptError:
                return self.client.eval(text, len(keys), *keys, *arguments)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Says what redis-py raises as Unavailable or Forbidden, never with a password in it."""
        from redis import exceptions

        try:
            yield
        except (exceptions.AuthenticationError, exceptions.NoPermissionError) as error:
            text = self._said(error)
            raise Forbidden(f"Redis at {self.url} does not let us in: {text}") from None
        except (
            exceptions.ConnectionError,
            exceptions.TimeoutError,
            exceptions.RedisClusterException,
            OSError,
        ) as error:
            raise Unavailable(f"Redis at {self.url} does not answer: {self._said(error)}") from None
        except redis_errors() as error:
            raise Unavailable(f"Redis at {self.url} refuses: {self._said(error)}") from None

    def _said(self, error: BaseException) -> str:
        return said(self.url, error)

    def close(self) -> None:
        """Closes all connections."""
        self.client.close()
