"""Fetching from a real server that behaves, and from one that does not."""

import gzip
import time

import pytest
from listserver import Page

from guard.feeds import fetch as module
from guard.feeds.fetch import FetchFailed, fetch
from guard.feeds.plain import PlainSettings
from guard.feeds.recipe import BadFeed, Limits, Part, Recipe
from guard.feeds.text import parse_lines

NOW = 1_700_000_000.0
BODY = b"185.4.0.1\n185.4.0.2\n" * 50


def recipe(**more):
    values = {"timeout": 5.0, "max_size": 10_000, **more}
    return Recipe("x", (), Limits(), 3600.0, 0.0, 86400.0, **values)


def get(server, path="/list", *, etag="", modified="", secret=False, headers=(), **more):
    part = Part(server.url + path, parse_lines, headers, secret)
    return fetch(part, recipe(**more), etag, modified, NOW)


def test_a_list_is_fetched_once_and_then_only_when_it_changed(server):
    """Conditional GET by ETag; the agent names a contact."""
    server.pages["/list"] = Page(BODY)
    first = get(server, contact="ops@example.com")
    assert first.data == BODY
    assert get(server, etag=first.etag) is None
    server.pages["/list"] = Page(BODY + b"185.4.0.3\n")
    assert get(server, etag=first.etag).data != BODY
    agents = [headers["User-Agent"] for _, headers in server.asked]
    assert "ops@example.com" in agents[0]
    assert "postmaster@" in agents[1]


def test_last_modified_serves_where_there_is_no_etag(server):
    """It is sent back as it came."""
    date = "Fri, 04 Sep 2026 14:20:51 GMT"
    server.pages["/list"] = Page(BODY, headers={"Last-Modified": date})
    assert get(server).modified == date
    get(server, modified=date)
    assert server.asked[-1][1]["If-Modified-Since"] == date


def test_gzip_is_unpacked_within_the_size_limit(server):
    """A small body that unpacks to a large one is stopped."""
    server.pages["/list"] = Page(BODY, way="gzip")
    assert get(server).data == BODY
    server.pages["/bomb"] = Page(b"0" * 10_000_000, way="gzip")
    assert len(gzip.compress(b"0" * 10_000_000)) < 10_000
    with pytest.raises(BadFeed, match="longer than 10000"):
        get(server, "/bomb")


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (Page(b"<!DOCTYPE html><html>", kind="text/plain"), "page for people"),
        (Page(b"\xef\xbb\xbf\n <HTML><body>Access denied", kind=""), "page for people"),
        (Page(b"<html>", kind="text/html; charset=utf-8"), "text/html"),
        (Page(b"%PDF", kind="application/pdf"), "application/pdf"),
        (Page(b"x" * 20_000), "longer than"),
    ],
)
def test_what_is_no_list_is_refused(server, page, why):
    """Error pages that say 200, other types, and floods."""
    server.pages["/list"] = page
    with pytest.raises(BadFeed, match=why):
        get(server)


@pytest.mark.parametrize(
    ("page", "why", "wait"),
    [
        (Page(b"no", status=404), "404 Not Found", 0),
        (Page(b"no", status=403), "403 Forbidden", 0),
        (Page(b"no", status=500), "500", 0),
        (Page(b"no", status=304), "304", 0),
        (Page(b"no", status=429, headers={"Retry-After": "1800"}), "429", 1800),
        (
            Page(b"", status=429, headers={"Retry-After": "Tue, 14 Nov 2023 23:13:20 GMT"}),
            "429",
            3600,
        ),
        (Page(b"", status=429, headers={"Retry-After": "99999999999999"}), "429", 604800),
        (Page(b"", status=503, headers={"Retry-After": "soon"}), "503", 0),
        (
            Page(
                b'{"errors":[{"detail":"Daily rate limit of 5 requests exceeded","status":429}]}',
                status=429,
            ),
            "Daily rate limit of 5",
            0,
        ),
        (Page(BODY, way="cut"), "cut off", 0),
        (Page(b"junk that is no gzip", headers={"Content-Encoding": "gzip"}), ".+", 0),
        (Page(b"", status=302, headers={"Location": "/list"}), "too often", 0),
        (Page(b"", status=302, headers={"Location": "ftp://127.0.0.1/x"}), "less safe", 0),
        (Page(b"", status=302, headers={"Location": "file:///etc/passwd"}), "less safe", 0),
    ],
)
def test_failures_are_told_in_one_line(server, page, why, wait):
    """Each with how long its server asks to stay away; never with the query, never a traceback."""
    server.pages["/list"] = page
    with pytest.raises(FetchFailed, match=why) as caught:
        get(server, "/list?key=hidden")
    assert caught.value.wait == wait
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_redirect_is_followed_but_not_with_a_key(server):
    """On the same host it is; to another one a secret header does not go."""
    server.pages["/list"] = Page(BODY)
    server.pages["/old"] = Page(b"", status=301, headers={"Location": "/list"})
    assert get(server, "/old").data == BODY
    headers = (("Key", "s3cret"),)
    assert get(server, "/old", secret=True, headers=headers).data == BODY
    port = server.server.server_port
    server.pages["/away"] = Page(
        b"", status=302, headers={"Location": f"http://localhost:{port}/list"}
    )
    assert get(server, "/away").data == BODY
    before = len(server.asked)
    with pytest.raises(FetchFailed, match="with a key"):
        get(server, "/away", secret=True, headers=headers)
    assert len(server.asked) == before + 1


def test_a_slow_body_is_given_up(server):
    """A server that sends a byte now and then does not hold a thread for ever."""
    server.pages["/list"] = Page(BODY[:100], way="slow")
    begun = time.monotonic()
    with pytest.raises(FetchFailed, match="no answer in time"):
        get(server, timeout=0.2)
    assert time.monotonic() - begun < 3


def test_nobody_answers(server, tmp_path):
    """A closed port, a name that is none, and a URL that is none."""
    for url, why in (
        ("http://127.0.0.1:9/x", "refused"),
        ("http://user:hidden@name.invalid/x", "http://name.invalid/x"),
        ("http://[::1/x", ".+"),
    ):
        with pytest.raises(FetchFailed, match=why):
            fetch(Part(url, parse_lines), recipe(), "", "", NOW)


def test_a_proxy_is_used(server):
    """All requests of a feed with `proxy` go there."""
    server.pages["http://list.invalid/list"] = Page(BODY)
    part = Part("http://list.invalid/list", parse_lines)
    assert fetch(part, recipe(proxy=server.url), "", "", NOW).data == BODY


def test_a_file_is_read_when_it_changed(tmp_path):
    """Like a URL: the same version is no news, a missing or a long file is a failure."""
    path = tmp_path / "list.txt"
    part = Part(f"file://{path}", parse_lines)
    with pytest.raises(FetchFailed, match="No such file"):
        fetch(part, recipe(), "", "", NOW)
    path.write_bytes(BODY)
    got = fetch(part, recipe(), "", "", NOW)
    assert got.data == BODY
    assert fetch(part, recipe(), got.etag, "", NOW) is None
    path.write_bytes(b"1" * 20_000)
    with pytest.raises(BadFeed, match="longer"):
        fetch(part, recipe(), got.etag, "", NOW)


def test_requests_is_imported_in_one_place():
    """So that every limit holds for every feed."""
    from pathlib import Path

    root = Path(module.__file__).parent
    users = {p.name for p in root.rglob("*.py") if "import requests" in p.read_text()}
    assert users == {"fetch.py"}


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://{host}/x?apikey=sesame", ""),
        ("http:///x?apikey=sesame", ""),
        ("http://{host}/x?apikey=sesame", "http://me:sesame@127.0.0.1:9"),
        ("http://me:sesame@127.0.0.1:9/x", ""),
        ("http://me:sesame@[bad/x?sesame", ""),
        ("http://x..y/x?sesame", ""),
    ],
)
def test_an_error_keeps_the_secrets_of_a_url(server, url, proxy):
    """Libraries repeat the query or the password in theirs; ours is one line without."""
    address = url.format(host=server.url.removeprefix("http://"))
    recipe = PlainSettings(name="p", url=address, proxy=proxy).recipe()
    with pytest.raises(FetchFailed) as caught:
        fetch(recipe.parts[0], recipe, "", "", 0.0)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)
