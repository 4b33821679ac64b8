"""Commands meet the daemon at a unix socket that only its owner and group may open."""

import asyncio
import socket
import stat
import threading
from contextlib import closing

import pytest

from guard.control import Line, NoDaemon, call, serve
from guard.roles import BadInput, Refused, Unavailable


async def echo(name, arguments):
    """Answers with what was asked, or raises as `name` says."""
    if name == "bad":
        raise BadInput("no such thing")
    if name == "gone":
        raise Unavailable("the store is gone")
    return {"name": name, **arguments}


def with_server(path, client, do=echo):
    """What `client()` returns while a server answers at `path`."""

    async def main():
        server = await serve(path, do)
        async with server:
            return await asyncio.to_thread(client)

    return asyncio.run(main())


def test_question_and_answer(tmp_path):
    """The result comes back as JSON values."""
    path = tmp_path / "deep" / "guard.sock"
    assert with_server(path, lambda: call(path, "ban", network="192.0.2.1")) == {
        "name": "ban",
        "network": "192.0.2.1",
    }


def test_mode_is_owner_and_group(tmp_path):
    """Strangers on the machine cannot open it."""
    path = tmp_path / "guard.sock"
    assert with_server(path, lambda: stat.S_IMODE(path.stat().st_mode)) == 0o660


@pytest.mark.parametrize(("name", "error"), [("bad", BadInput), ("gone", Unavailable)])
def test_errors_keep_their_kind(tmp_path, name, error):
    """What the daemon refuses is raised here as the same sort of error, with its words."""
    path = tmp_path / "guard.sock"
    with pytest.raises(error, match=r"no such thing|the store is gone"):
        with_server(path, lambda: call(path, name))


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"\xff\n", b'{"do":5}\n', b'"x"\n', b"{"])
def test_rubbish_is_answered_and_survived(tmp_path, line):
    """A bad line never stops the server: the next command is answered."""
    path = tmp_path / "guard.sock"

    def client():
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(path))
            raw.sendall(line)
            raw.shutdown(socket.SHUT_WR)
            raw.recv(1000)
        return call(path, "bans")

    assert with_server(path, client) == {"name": "bans"}


def test_a_long_answer_comes_in_parts(tmp_path):
    """Each as it is made; then its end, and the next question on the same connection."""
    path = tmp_path / "guard.sock"

    async def parted(name, arguments):
        async def parts():
            for number in range(arguments["number"]):
                yield [{"network": str(number), "until": None}]
            if name == "breaks":
                raise Unavailable("the store is gone")

        return parts() if "number" in arguments else name

    def client():
        with Line(path) as line:
            found = [row["network"] for rows in line.parts("a", number=3) for row in rows]
            assert list(line.parts("a", number=0)) == []
            assert line.ask("b") == "b"
            broken = line.parts("breaks", number=1)
            found.append(next(broken)[0]["network"])
            with pytest.raises(Unavailable, match="the store is gone"):
                next(broken)
            return found

    assert with_server(path, client, parted) == ["0", "1", "2", "0"]


def test_what_was_begun_is_ended_though_nobody_listens(tmp_path):
    """Whoever asked goes away after the first part: the maker of the parts is told to finish."""
    path = tmp_path / "guard.sock"
    closed = threading.Event()

    async def parted(name, arguments):
        async def parts():
            try:
                while True:
                    yield ["x" * 10_000]
            finally:
                closed.set()

        return parts()

    def client():
        with Line(path) as line:
            next(line.parts("a"))
        return closed.wait(10)

    assert with_server(path, client, parted)


def test_nobody_there(tmp_path):
    """No socket, or a dead one, says that no daemon answers and what to do."""
    path = tmp_path / "guard.sock"
    with pytest.raises(NoDaemon, match="guard up"):
        call(path, "bans")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(NoDaemon):
        call(path, "bans")
    assert with_server(path, lambda: call(path, "bans")) == {"name": "bans"}


def test_a_second_daemon_is_refused(tmp_path):
    """Two daemons on one socket would hide each other."""
    path = tmp_path / "guard.sock"

    async def main():
        async with await serve(path, echo):
            await serve(path, echo)

    with pytest.raises(Refused, match="another daemon"):
        asyncio.run(main())


def test_a_command_that_waits_at_the_end_leaves_no_traceback(tmp_path, caplog):
    """Neither one that is being answered, nor one that has asked nothing yet."""
    path = tmp_path / "guard.sock"

    async def main(idle, waiting):
        asked = asyncio.Event()

        async def hang(name, arguments):
            asked.set()
            await asyncio.Event().wait()

        with closing(await serve(path, hang)):  # as the daemon does: it waits for nobody
            for connection in (idle, waiting):
                connection.connect(str(path))
            waiting.sendall(b'{"do": "opinions"}\n')
            await asked.wait()

    with (
        socket.socket(socket.AF_UNIX) as idle,
        socket.socket(socket.AF_UNIX) as waiting,
        caplog.at_level("INFO"),
    ):
        asyncio.run(main(idle, waiting))
    assert {row.levelname for row in caplog.records} == {"INFO"}
    assert caplog.text.count("still waiting at the end") == 2
