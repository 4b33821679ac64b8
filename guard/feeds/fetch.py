"""The one place that fetches lists: HTTP with every limit, or a local file.

The server is a stranger: size, time and number of redirects are bounded, what it says is escaped
before it is logged, and a secret header never follows a redirect to another host or without TLS.
It does not retry; sync.py decides when to come again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import msgspec

from guard.feeds.recipe import BadFeed, Part, Recipe
from guard.feeds.text import looks_like_html
from guard.lib.logs import printable
from guard.lib.webcall import CHUNK, CONNECT, agent, nobody, place, reason, retry_after
from guard.roles import Unavailable

if TYPE_CHECKING:
    import requests

MOST_REDIRECTS = 3
ERROR_SIZE = 4096
# Types under which publishers send lists; anything else is something else.
TYPES = (
    "", "text/plain", "text/csv", "text/tab-separated-values", "application/json",
    "application/x-ndjson", "application/ndjson", "application/jsonl", "application/octet-stream",
    "binary/octet-stream", "application/x-netset",
)  # fmt: skip


class FetchFailed(Unavailable):
    """The list could not be had; `wait` is how many seconds its server asked to stay away."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Fetched:
    """A body, whole, and what identifies this version of it."""

    data: bytes
    etag: str = ""
    modified: str = ""


def fetch(part: Part, recipe: Recipe, etag: str, modified: str, now: float) -> Fetched | None:
    """The list at `part`; None when it is still the one that `etag` and `modified` name.

    Raises FetchFailed when it cannot be had, BadFeed when it is no list.
    """
    if part.url.startswith("file://"):
        return _file(Path(part.url.removeprefix("file://")), recipe, etag)
    import requests

    from guard.lib.bounded import bounded

    with (
        requests.Session() as session,
        _errors(part.url),
        bounded(session, 4 * recipe.timeout),
    ):
        session.trust_env = True
        session.auth = nobody  # or ~/.netrc would be asked
        if recipe.proxy:
            session.proxies = {"http": recipe.proxy, "https": recipe.proxy}
        headers = {
            "User-Agent": agent("list fetcher", recipe.contact),
            "Accept": "*/*",
            "Accept-Encoding": "gzip, deflate",
            **({"If-None-Match": etag} if etag else {}),
            **({"If-Modified-Since": modified} if modified else {}),
            **dict(part.headers),
        }
        with _answer(session, part, headers, recipe.timeout) as answer:
            if answer.status_code == 304 and (etag or modified):
                return None
            if answer.status_code != 200:
                raise _failure(answer, now)
            return _body(answer, recipe.max_size)


@contextmanager
def _errors(url: str) -> Iterator[None]:
    """Says what requests raises as FetchFailed, in one line, without the query."""
    import requests
    import urllib3

    try:
        yield
    except BadFeed:
        raise
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise FetchFailed(f"{place(url)}: {reason(str(error), url)}") from None


@contextmanager
def _answer(
    session: requests.Session, part: Part, headers: dict[str, str], timeout: float
) -> Iterator[requests.Response]:
    """The answer after at most a few redirects, its body not yet read."""
    url = part.url
    for _ in range(MOST_REDIRECTS + 1):
        with session.get(
            url,
            headers=headers,
            stream=True,
            timeout=(min(CONNECT, timeout), timeout),
            allow_redirects=False,
        ) as answer:
            if not answer.is_redirect:
                yield answer
                return
            url = _next(url, answer.headers["location"], secret=part.secret)
    raise FetchFailed(f"{place(part.url)}: redirects too often")


def _next(url: str, location: str, *, secret: bool) -> str:
    """Where a redirect leads. Raises FetchFailed where it must not be followed."""
    old, new = urlsplit(url), urlsplit(urljoin(url, location))
    if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
        raise FetchFailed(f"{place(url)}: redirects to {place(location)}, which is less safe")
    if secret and (old.scheme, old.netloc) != (new.scheme, new.netloc):
        raise FetchFailed(f"{place(url)}: redirects a request with a key to {place(location)}")
    return new.geturl()


def _failure(answer: requests.Response, now: float) -> FetchFailed:
    text = f"{place(answer.url)}: {answer.status_code} {printable(answer.reason or '')[:60]}"
    detail = _detail(answer.raw.read(ERROR_SIZE, decode_content=True) or b"")
    return FetchFailed(
        text + (f": {detail}" if detail else ""),
        retry_after(answer.headers.get("retry-after", ""), now),
    )


def _detail(data: bytes) -> str:
    """What an API says of an error, when it says it as JSON (AbuseIPDB's form)."""
    try:
        errors = msgspec.json.decode(data, type=dict[str, list[dict[str, object]]])["errors"]
        return printable(str(errors[0]["detail"]))[:200]
    except (msgspec.MsgspecError, UnicodeDecodeError, LookupError):
        return ""


def _body(answer: requests.Response, most: int) -> Fetched:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in TYPES:
        raise BadFeed(f"is {printable(kind)[:60]}, not a list")
    data = bytearray()
    for chunk in answer.iter_content(CHUNK):
        data += chunk
        if len(data) > most:
            raise BadFeed(f"is longer than {most} bytes")
    body = bytes(data)
    if looks_like_html(body):
        raise BadFeed("is a page for people, not a list")
    headers = answer.headers
    return Fetched(body, headers.get("etag", "")[:200], headers.get("last-modified", "")[:100])


def _file(path: Path, recipe: Recipe, etag: str) -> Fetched | None:
    try:
        found = path.stat()
        version = f"{found.st_mtime_ns}-{found.st_size}-{found.st_ino}"
        if version == etag:
            return None
        if found.st_size > recipe.max_size:
            raise BadFeed(f"is longer than {recipe.max_size} bytes")
        return Fetched(path.read_bytes(), version)
    except OSError as error:
        raise FetchFailed(f"{path}: {error.strerror}") from None
