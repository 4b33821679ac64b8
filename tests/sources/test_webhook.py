"""The webhook over real HTTP: answers mean disk, strangers hear no, nothing is lost or doubled."""

import ast
import asyncio
import gzip
import hmac
import json
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
import zstandard
from kumo import AT, rejection

from guard.lib.fields import Endpoint
from guard.roles import Refused, Unavailable
from guard.sources.settings import WebhookSettings
from guard.sources.webhook import AT_ONCE, Webhook

SECRET = "correct horse battery staple"
ONE = rejection(1)


class Served:
    """A webhook that runs, what it heard, and a client for it."""

    def __init__(self, source: Webhook, client: aiohttp.ClientSession, url: str) -> None:
        self.source, self.client, self.url = source, client, url
        self.heard: list[int] = []

    async def post(self, body: bytes, path: str = "/", **headers: str) -> tuple[int, dict]:
        """Status and JSON of one POST."""
        async with self.client.post(self.url + path, data=body, headers=headers) as answer:
            told = await answer.text()
            return answer.status, json.loads(told) if told.startswith("{") else {}

    async def until(self, count: int) -> list[int]:
        """What was heard, once it is that many."""
        async with asyncio.timeout(10):
            while len(self.heard) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.heard


@asynccontextmanager
async def serve(state: Path, connector: aiohttp.BaseConnector | None = None, **more):
    """Runs a webhook of these settings on a port of its own."""
    more.setdefault("listen", Endpoint("127.0.0.1", 0))
    source = Webhook(WebhookSettings(type="webhook", **more), state)
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession(connector=connector) as client:
        served = Served(source, client, "http://guard")

        async def listen() -> None:
            async for batch in source.batches():
                served.heard += [int(event.time) - AT for event in batch]

        task = group.create_task(listen())
        async with asyncio.timeout(10):
            while not source.addresses and not task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        if source.addresses and "socket" not in more:
            host, port = ast.literal_eval(source.addresses[0])[:2]
            scheme = "https" if "tls_certificate" in more else "http"
            served.url = f"{scheme}://{host}:{port}"
        yield served
        task.cancel()


def test_every_form_and_packing_is_heard_once(tmp_path):
    """Object, array, NDJSON; plain, gzip, zstd, chunked; and all of it again is nothing new."""

    async def chunks():
        for number in range(30, 33):
            yield rejection(number)

    async def play() -> list[int]:
        async with serve(tmp_path) as served:
            bodies = [
                rejection(1),
                b"[" + rejection(2) + b"," + rejection(3) + b"]",
                rejection(4) + rejection(5),
                gzip.compress(rejection(6)),
                zstandard.compress(b"[" + rejection(7) + b"]"),
            ]
            for body in bodies:
                assert (await served.post(body))[0] == 200
            assert await served.post(chunks()) == (200, {"records": 3, "new": 3, "faults": 0})
            await served.until(10)
            await asyncio.sleep(0.3)
            return sorted(served.heard)

    assert asyncio.run(play()) == [1, 2, 3, 4, 5, 6, 7, 30, 31, 32]


def test_what_is_sent_again_is_answered_and_not_counted(tmp_path):
    """A retry after a lost answer, also across a restart of the receiver."""
    precise = rejection(1, event_time="2023-11-14T22:13:21.123456789Z")

    async def play() -> list[dict]:
        told, heard = [], 0
        for _ in range(2):
            async with serve(tmp_path) as served:
                told += [(await served.post(precise))[1], (await served.post(precise))[1]]
                await asyncio.sleep(0.4)
                heard += len(served.heard)
        assert heard == 1
        return told

    assert [answer["new"] for answer in asyncio.run(play())] == [1, 0, 0, 0]


def test_what_was_answered_survives_a_crash(tmp_path):
    """A receiver that answered and died before counting counts after its restart."""

    async def play() -> list[int]:
        source = Webhook(WebhookSettings(type="webhook", listen=Endpoint("127.0.0.1", 0)), tmp_path)
        source._inbox.open(AT)
        await source._inbox.put([ONE.strip(), rejection(2).strip()], AT)
        # Nobody closes anything: the process is gone.
        async with serve(tmp_path) as served:
            return list(await served.until(2))

    assert asyncio.run(play()) == [1, 2]


def test_strangers_hear_no(tmp_path):
    """Without the secret, or with another, nothing is taken: bearer or HMAC."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    good = hmac.new(SECRET.encode(), ONE, "sha256").hexdigest()

    async def play() -> list[int]:
        async with serve(tmp_path, secret_file=tmp_path / "secret") as served:
            tries = [
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {SECRET}"},
                {"Authorization": "Bearer \u00fcml\u00e4ut"},
                {"X-Guard-Signature": "sha256=" + "0" * 64},
                {"X-Guard-Signature": ""},
                {"Authorization": f"Bearer {SECRET}"},
                {"X-Guard-Signature": f"sha256={good}"},
            ]
            statuses = [(await served.post(ONE, **headers))[0] for headers in tries]
            await served.until(1)
            await asyncio.sleep(0.3)
            assert len(served.heard) <= 2
            return statuses

    assert asyncio.run(play()) == [401] * 6 + [200] * 2


def test_what_is_no_record_is_refused_and_hides_nothing(tmp_path):
    """Nonsense is 400, too much 413, another method 405; a good record beside a bad one counts."""

    async def play() -> list[int]:
        async with serve(tmp_path, max_body=50_000) as served:
            statuses = [
                (await served.post(body))[0]
                for body in (
                    b"nonsense",
                    b"\x1f\x8b\x08" + b"\xff" * 50,
                    b"x" * 60_000,
                    zstandard.compress(b"[" + b" " * 10_000_000),
                )
            ]
            async with served.client.get(served.url) as answer:
                statuses.append(answer.status)
            assert (await served.post(b"[1," + ONE + b"]"))[1]["faults"] == 1
            assert (await served.post(b""))[0] == 200
            assert await served.until(1) == [1]
            return statuses

    assert asyncio.run(play()) == [400, 400, 413, 413, 405]


def test_a_backlog_closes_the_connection_or_answers_503(tmp_path, monkeypatch):
    """KumoMTA sends again what was not answered, and gives up what was refused."""
    monkeypatch.setattr(Webhook, "behind", property(lambda _: 2))

    async def play(busy: str) -> int | None:
        async with serve(tmp_path / busy, backlog=1, busy=busy) as served:
            try:
                return (await served.post(ONE))[0]
            except aiohttp.ClientError:
                return None

    assert asyncio.run(play("close")) is None
    assert asyncio.run(play("503")) == 503


def test_tls_and_unix_socket(tmp_path):
    """Both ways of being private work, and a stale socket file is no obstacle."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost "
        f"-keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )

    async def by_tls() -> int:
        context = ssl.create_default_context(cafile=str(certificate))
        context.check_hostname = False
        connector = aiohttp.TCPConnector(ssl=context)
        files = {"tls_certificate": certificate, "tls_private_key": key}
        async with serve(tmp_path / "tls", connector, **files) as served:
            return (await served.post(ONE))[0]

    async def by_socket() -> int:
        path = tmp_path / "run" / "hook.sock"
        for _ in range(2):
            async with serve(
                tmp_path / "socket", aiohttp.UnixConnector(str(path)), socket=path
            ) as served:
                status, _ = await served.post(ONE)
            path.unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(str(path))
        return status

    assert asyncio.run(by_tls()) == 200
    assert asyncio.run(by_socket()) == 200


def test_what_cannot_listen_says_why(tmp_path):
    """A port in use may pass; a missing or weak secret will not."""
    (tmp_path / "weak").write_text("short")

    async def play(**more) -> None:
        source = Webhook(WebhookSettings(type="webhook", **more), tmp_path)
        async for _ in source.batches():
            pass

    async def twice() -> None:
        async with serve(tmp_path / "a") as served:
            port = int(served.url.rpartition(":")[2])
            await play(listen=Endpoint("127.0.0.1", port))

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(twice())
    assert caught.group_contains(Unavailable, match="(?i)address already in use")
    with pytest.raises(Refused, match="needs 16 characters"):
        asyncio.run(play(secret_file=tmp_path / "weak"))
    with pytest.raises(Refused, match="No such file"):
        asyncio.run(play(secret_file=tmp_path / "absent"))


def test_settings_that_let_anybody_in_are_a_fault():
    """An address that others reach needs a secret; half a TLS pair is a mistake."""
    open_to_all = WebhookSettings(type="webhook", listen=Endpoint("", 8026))
    assert [key for key, _ in open_to_all.faults()] == ["secret_file"]
    half = WebhookSettings(type="webhook", tls_certificate=Path("x"), rate=-1)
    assert [key for key, _ in half.faults()] == ["tls_certificate", "rate"]
    assert list(WebhookSettings(type="webhook").faults()) == []


def test_requests_beyond_the_rate_wait(tmp_path):
    """Who comes faster is held back, not refused."""

    async def play() -> float:
        async with serve(tmp_path, rate=50) as served:
            loop = asyncio.get_running_loop()
            begin = loop.time()
            statuses = await asyncio.gather(*(served.post(rejection(i)) for i in range(20)))
            assert {status for status, _ in statuses} == {200}
            return loop.time() - begin

    assert asyncio.run(play()) > 0.35


def test_strangers_who_send_nothing_are_in_nobodys_way(tmp_path, monkeypatch):
    """More of them than are read at once: who knows the secret is heard, and they are cut off."""
    monkeypatch.setattr("guard.sources.webhook.BODY_WITHIN", 1.0)
    (tmp_path / "secret").write_text(SECRET + "\n")
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nX-Guard-Signature: sha256=0\r\n\r\n"

    async def play() -> None:
        async with serve(tmp_path, secret_file=tmp_path / "secret", rate=50) as served:
            place = ast.literal_eval(served.source.addresses[0])[:2]
            streams = [await asyncio.open_connection(*place) for _ in range(AT_ONCE + 6)]
            for _, writer in streams:
                writer.write(head)
            known = await served.post(ONE, Authorization=f"Bearer {SECRET}")
            assert known[0] == 200
            assert await served.until(1) == [1]
            async with asyncio.timeout(10):
                for reader, writer in streams:
                    with suppress(ConnectionError):
                        assert await reader.read() == b""
                    writer.close()

    asyncio.run(play())
