"""Posting, to a real server."""

import json
import logging
import time

import pytest
from notices import HOSTILE, NOW, SECRET, Receiving, ban, occasion
from support import free_port

from guard.reporters.notify.receivers import Never, NotNow, Poster
from guard.reporters.notify.settings import DiscordNotify, SlackNotify, WebhookNotify


@pytest.fixture
def server():
    """Answers 204 unless told otherwise."""
    receiving = Receiving()
    yield receiving
    receiving.close()


@pytest.fixture
def poster(server, tmp_path):
    """A signed webhook to it, the URL in a file."""
    (tmp_path / "url").write_text(server.url + "\n")
    (tmp_path / "secret").write_text(SECRET + "\n")
    return Poster(
        WebhookNotify(
            type="webhook", url_file=tmp_path / "url", secret_file=tmp_path / "secret", timeout=1
        )
    )


def refused(poster, kind):
    """The error of sending one, and its text without a secret."""
    with pytest.raises(kind) as caught:
        poster.deliver("id-1", b"{}", NOW)
    text = str(caught.value)
    for secret in (SECRET, "verysecretpath", "B00000000"):
        assert secret not in text
        assert secret not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert "\n" not in text
    return caught.value


def test_a_message_comes_signed_and_whole(server, poster):
    """JSON, id, timestamp, signature; nothing of the secret."""
    body = poster.body(occasion(ban()))
    poster.deliver("id-1", body, NOW)
    (request,) = server.requests
    assert request.body == body
    assert request.json["event"] == "ban"
    assert request.headers["content-type"] == "application/json"
    assert (request.id, request.headers["x-guard-timestamp"]) == ("id-1", str(int(NOW)))
    assert request.signed()
    assert SECRET not in str(request.headers)


@pytest.mark.parametrize("status", [500, 502, 503, 408, 425, 429])
def test_what_may_pass_is_tried_again(server, poster, status):
    """And not before the receiver says."""
    server.answers = [(status, {"Retry-After": "7"}, b"later")]
    assert refused(poster, NotNow).wait == 7


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_what_is_refused_is_not_tried_again(server, poster, status):
    """The status, and what the receiver says, are told."""
    server.answers = [(status, {}, b'{"message": "no\\nsuch hook"}')]
    assert f"answers {status}" in str(refused(poster, Never))


def test_a_redirect_is_not_followed(server, poster):
    """Neither a body nor a signature goes to where a stranger points."""
    other = Receiving()
    server.answers = [(307, {"Location": other.url}, b"")]
    assert "redirect" in str(refused(poster, Never))
    assert not other.requests
    other.close()


def test_an_answer_that_repeats_secrets_is_told_without(server, poster):
    """Parts of the URL too, for a page of errors likes to show the path."""
    said = f"{SECRET} {server.url} /services/T00000000/B00000000/verysecretpath {HOSTILE}"
    server.answers = [(404, {}, said.encode())]
    assert "answers 404" in str(refused(poster, Never))


def test_who_hangs_is_left(server, poster):
    """After the timeout, for later."""
    server.hanging.set()
    began = time.monotonic()
    assert "no answer in time" in str(refused(poster, NotNow))
    assert time.monotonic() - began < 10


def test_nobody_there(server, poster, tmp_path):
    """Where, and nothing of what is behind the host."""
    port = free_port()
    (tmp_path / "url").write_text(f"http://127.0.0.1:{port}/services/B00000000/verysecretpath")
    assert str(refused(poster, NotNow)).startswith("http://127.0.0.1/...: ")


def test_discord_says_how_long_to_wait_in_its_body(server):
    """Fractions of seconds; nonsense is none."""
    poster = Poster(DiscordNotify(type="discord", url=server.url))
    limited = {"message": "You are being rate limited.", "retry_after": 2.75, "global": False}
    server.answers = [
        (429, {}, json.dumps(limited).encode()),
        (429, {}, b'{"retry_after": "soon"}'),
        (429, {"Retry-After": "3"}, b'{"retry_after": 1e9}'),
    ]
    assert [refused(poster, NotNow).wait for _ in range(3)] == [2.75, 0, 3600]


def test_a_new_secret_and_url_count_at_once(server, poster, tmp_path):
    """They are read when they are used; while they are missing nothing is lost."""
    (tmp_path / "secret").unlink()
    refused(poster, NotNow)
    (tmp_path / "secret").write_text("a new secret of some length")
    (tmp_path / "url").write_text("no url")
    refused(poster, NotNow)
    (tmp_path / "url").write_text(server.url + "/new")
    poster.deliver("id-1", b"{}", NOW)
    (request,) = server.requests
    assert request.path.endswith("/new")
    assert request.signed("a new secret of some length")


def test_a_chat_is_not_signed(server):
    """It would not know what to do with it."""
    poster = Poster(SlackNotify(type="slack", url=server.url))
    poster.deliver("id-1", poster.body(occasion(ban())), NOW)
    (request,) = server.requests
    assert "x-guard-signature" not in request.headers
    assert request.json["blocks"]


def test_a_verbose_log_does_not_tell_the_url(server, poster, capfd):
    """The HTTP library logs every path; not here."""
    from guard.lib.logs import set_up

    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    try:
        set_up(verbose=True, journal=False)
        poster.deliver("id-1", b"{}", NOW)
    finally:
        root.handlers[:] = kept
        root.setLevel(level)
    assert "verysecretpath" not in capfd.readouterr().err
