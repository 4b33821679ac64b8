"""One HTTP call to somebody else's API, with every limit.

The server is a stranger: time and size are bounded, redirects are never followed (a key would go
with them), ~/.netrc is not asked, and no error says a secret, a query or a password. It does not
retry and judges no status: the caller does both.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from guard import __version__
from guard.lib.logs import printable
from guard.lib.secrets import Secret, scrub

if TYPE_CHECKING:
    import requests

CONNECT = 10.0
CHUNK = 1 << 14
LONGEST_WAIT = 7 * 86400.0


class CallFailed(Exception):
    """There was no answer, or none that could be read. Its text is one line without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What is asked. A `url` that is a Secret (Slack's) is named by its host only.

    `secrets` are headers that hold one. `timeout` is seconds for each wait, and the whole call may
    take four of them; `max_size` is bytes of the answer.
    """

    url: str | Secret
    method: str = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    body: bytes | None = None
    kind: str = ""  # the Content-Type of `body`
    accept: str = "application/json"
    timeout: float = 30.0
    max_size: int = 1 << 20
    contact: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Names of `headers` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def good(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def number(self, name: str) -> int | None:
        """The header `name` as a whole number, None when it is none."""
        text = self.headers.get(name, "").strip()
        return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None

    def wait(self, now: float) -> float:
        """How many seconds Retry-After asks to stay away; 0 when it does not."""
        return retry_after(self.headers.get("retry-after", ""), now)


def call(asked: Call) -> Answer:
    """Asks, and returns the answer whatever its status. Raises CallFailed."""
    import requests

    from guard.lib.bounded import bounded

    url = asked.url.reveal() if isinstance(asked.url, Secret) else asked.url
    if asked.query:
        url += "?" + urlencode(asked.query)
    hidden = [*asked.secrets.values(), *([asked.url] if isinstance(asked.url, Secret) else [])]
    with (
        requests.Session() as session,
        _errors(asked.url, hidden),
        bounded(session, 4 * asked.timeout),
    ):
        session.auth = nobody
        if asked.proxy:
            session.proxies = {"http": asked.proxy, "https": asked.proxy}
        with session.request(
            asked.method,
            url,
            headers=_headers(asked),
            data=asked.body,
            stream=True,
            timeout=(min(CONNECT, asked.timeout), asked.timeout),
            allow_redirects=False,
        ) as answer:
            body = _body(answer, asked)
            named = {name.lower(): value for name, value in answer.headers.items()}
            return Answer(answer.status_code, named, body)


def _headers(asked: Call) -> dict[str, str]:
    return {
        # The name of this machine goes to whoever publishes lists (agent), not to everybody.
        "User-Agent": agent("web", asked.contact) if asked.contact else f"Guard/{__version__}",
        "Accept": asked.accept,
        "Accept-Encoding": "gzip, deflate",
        **({"Content-Type": asked.kind} if asked.kind else {}),
        **asked.headers,
        **{name: secret.reveal() for name, secret in asked.secrets.items()},
    }


def _body(answer: requests.Response, asked: Call) -> bytes:
    data = bytearray()
    for chunk in answer.iter_content(CHUNK):
        data += chunk
        if len(data) > asked.max_size:
            raise CallFailed(f"{place(asked.url)}: answers with more than {asked.max_size} bytes")
    return bytes(data)


@contextmanager
def _errors(url: str | Secret, hidden: Sequence[Secret]) -> Iterator[None]:
    """Says what requests raises as CallFailed, in one line, without secrets."""
    import requests
    import urllib3

    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        plain = url.reveal() if isinstance(url, Secret) else url
        text = reason(scrub(str(error), hidden), plain)
        raise CallFailed(f"{place(url)}: {text}") from None


def agent(what: str, contact: str) -> str:
    """The User-Agent: owners of APIs and lists ask for a way to reach whoever asks too much."""
    return f"Guard/{__version__} ({what}; contact {contact or 'postmaster@' + _host()})"


def _host() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.isprintable() else "localhost"


def nobody(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authentication that adds nothing; without one ~/.netrc would be asked."""
    return request


def place(url: str | Secret) -> str:
    """`url` for the log: neither the query nor a password, which may both be secret."""
    if isinstance(url, Secret):
        parts = urlsplit(url.reveal())
        return printable(f"{parts.scheme}://{parts.hostname or ''}/...")[:200]
    return printable(re.sub(r"//[^/?#]*@", "//", url.partition("?")[0]))[:200]


_REASONS = (
    ("timed out", "no answer in time"),
    ("IncompleteRead", "was cut off"),
    ("Connection refused", "connection refused"),
    ("resolve", "the name cannot be resolved"),
    ("CERTIFICATE", "its certificate is not valid"),
    ("No host supplied", "the URL names no host"),
    ("SSLError", "TLS failed"),
    ("Max retries exceeded", "no connection"),
)


def reason(text: str, url: str) -> str:
    """Why, in one line, of an error's `text`: without what the URL keeps to itself."""
    for word, said in _REASONS:
        if word in text:
            return said
    query, password = url.partition("?")[2], re.search(r"//([^/?#]*)@", url)
    for secret in (query, password and password[1]):
        text = text.replace(secret, "...") if secret else text
    return printable(text)[:200]


def retry_after(text: str, now: float) -> float:
    """Retry-After (RFC 9110, 10.2.3) in seconds, at most a week; 0 when it says nothing."""
    if text.isascii() and text.isdigit():
        wait = float(text[:9])
    else:
        try:
            wait = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            wait = 0.0
    return min(max(wait, 0.0), LONGEST_WAIT)
