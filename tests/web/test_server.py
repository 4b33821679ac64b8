"""Status page and metrics over HTTP: readable from here, and from nowhere else."""

import asyncio
import json
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support import free_port

from guard.lib.fields import Endpoint
from guard.roles import Refused, Unavailable
from guard.web.server import StatusPage

ANSWERS = {"status": {"bans": 1, "source": []}, "bans": []}


def get(address, path="/", host=None):
    """Status, headers and body of an answer."""
    request = Request(f"http://{address}{path}", headers={"Host": host} if host else {})
    try:
        with urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def serve(client, ask=ANSWERS.__getitem__, listen="127.0.0.1"):
    """What `client(address)` returns while the page is served."""

    async def main():
        served = StatusPage(Endpoint(listen, free_port()), ask, lambda: 1000.0)
        async with asyncio.TaskGroup() as group:
            group.create_task(served.run())
            await served.ready.wait()
            try:
                return await asyncio.to_thread(client, served.addresses[0])
            finally:
                served.finish()

    return asyncio.run(main())


def test_page_metrics_and_json():
    """Each has its type; nothing is cached, and nothing may be loaded from elsewhere."""
    status, headers, body = serve(get)
    assert (status, headers.get_content_type()) == (200, "text/html")
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "<h1>Guard</h1>" in body
    status, headers, body = serve(lambda at: get(at, "/metrics"))
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "guard_bans 1.0" in body
    _, _, body = serve(lambda at: get(at, "/status.json"))
    assert json.loads(body) == ANSWERS["status"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8025", "localhost.evil.example"])
def test_a_page_of_the_web_cannot_read_it(host):
    """A name that leads here by DNS is not ours."""
    assert serve(lambda at: get(at, "/status.json", host))[0] == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8025", "127.0.0.1"])
def test_loopback_by_its_names(host):
    """The operator's own browser may."""
    assert serve(lambda at: get(at, "/", host))[0] == 200


def test_ipv6():
    """It answers on ::1 too."""
    assert serve(get, listen="::1")[0] == 200


def test_no_daemon_is_503():
    """What the daemon does not answer is said, without its words."""

    def ask(question):
        raise Unavailable("the daemon at /run/secret does not answer")

    status, _, body = serve(lambda at: get(at, "/metrics"), ask)
    assert status == 503
    assert "secret" not in body


def test_an_address_in_use_is_refused():
    """The job is told, and tries again later."""
    import socket

    async def main(port):
        await StatusPage(Endpoint("127.0.0.1", port), ANSWERS.__getitem__, lambda: 0.0).run()

    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Refused, match="cannot listen at 127"),
    ):
        asyncio.run(main(taken.getsockname()[1]))
