"""guard/smtp/wires.py on real sockets: turns, what does not fit, ends of every kind."""

import asyncio
import errno
import logging
import os
import resource
import socket
import struct
from contextlib import ExitStack, closing, contextmanager, suppress

import pytest
import uvloop

from guard.smtp import wires
from guard.smtp.ports import listen
from guard.smtp.wires import Wires

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
PATIENCE = 10.0


@pytest.fixture(params=LOOPS)
def runner(request):
    """Runs a coroutine on a loop of either kind."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as made:
        yield made


class Notes(asyncio.Protocol):
    """Keeps what it is told, in one list for all connections."""

    def __init__(self, notes, hears=None):
        self.notes, self.hears = notes, hears
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.notes.append(("made", self))

    def data_received(self, data):
        self.notes.append(("heard", data))
        if self.hears:
            self.hears(self.transport, data)

    def eof_received(self):
        self.notes.append(("eof", self))
        return False

    def connection_lost(self, error):
        self.notes.append(("lost", self))

    def pause_writing(self):
        self.notes.append(("full", self))

    def resume_writing(self):
        self.notes.append(("room", self))


@contextmanager
def served(factory, host="127.0.0.1"):
    """Wires that listen on a port of their own."""
    made = Wires(
        asyncio.get_running_loop(), factory, listen(host, 0, 100, shared=False), lambda: None
    )
    try:
        yield made
    finally:
        made.end()


@contextmanager
def client(served, host="127.0.0.1", room=None):
    """A client that never blocks, with `room` for bytes that it has not read."""
    with closing(socket.socket(socket.AF_INET)) as made:
        if room:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        made.settimeout(PATIENCE)
        made.connect((host, served.addresses[0][1]))
        made.setblocking(False)
        yield made


async def until(condition):
    """Lets the loop run until `condition` holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it is the loop's turns that are waited for
            await asyncio.sleep(0)


def kinds(notes):
    """What happened, without to whom."""
    return [kind for kind, _ in notes]


async def rest(sock):
    """All that the other side says until it ends."""
    heard = b""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(BlockingIOError):
                data = sock.recv(1 << 20)
                if not data:
                    return heard
                heard += data
            await asyncio.sleep(0)


def test_all_are_heard_before_any_is_answered(runner):
    """In a turn, what the first is told is sent when the last has been heard."""

    async def play():
        notes, silent = [], []

        def hears(transport, data):
            transport.write(data.upper())
            for each in clients:
                try:
                    each.recv(1, socket.MSG_PEEK)
                except BlockingIOError:
                    silent.append(data)

        with (
            served(lambda: Notes(notes, hears)) as wires_,
            client(wires_) as one,
            client(wires_) as other,
        ):
            clients = one, other
            await until(lambda: len(notes) == 2)
            one.send(b"one")  # both before the loop looks again
            other.send(b"other")
            await until(lambda: len(notes) == 4)
            assert kinds(notes) == ["made", "made", "heard", "heard"]
            assert len(silent) == 4  # neither had an answer while either was heard
            await until(lambda: wires_._unsettled == [])
            assert (one.recv(9), other.recv(9)) == (b"ONE", b"OTHER")

    runner.run(play())


def test_what_does_not_fit_waits(runner):
    """Who does not read stops its protocol; all of it arrives in the end, and then the end."""

    async def play():
        notes, words = [], os.urandom(16 << 20)

        def hears(transport, _data):
            transport.write(words)
            transport.close()
            transport.write(b"nothing after the end")

        with served(lambda: Notes(notes, hears)) as wires_, client(wires_) as one:
            one.send(b"all")
            await until(lambda: "full" in kinds(notes))
            assert "lost" not in kinds(notes)
            assert await rest(one) == words
            await until(lambda: "lost" in kinds(notes))
            assert kinds(notes) == ["made", "heard", "full", "room", "lost"]

    runner.run(play())


@pytest.mark.parametrize("size", [20_000, 40_000, 200_000])
def test_a_slow_reader_gets_all_of_a_short_reply(runner, size):
    """However little waits, it goes on when the client reads, and nobody turns meanwhile."""

    async def play():
        notes, turns = [], []
        words = os.urandom(size)

        def hears(transport, _data):
            transport.write(words)

        with served(lambda: Notes(notes, hears)) as wires_, client(wires_, room=2048) as one:
            await until(lambda: notes)
            (wire,) = wires_._wires.values()
            wire._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            one.send(b"all")
            await until(lambda: wire._out)
            for _ in range(50):
                await asyncio.sleep(0.001)
            wires_._begin_turn = lambda: turns.append(1)
            heard = b""
            async with asyncio.timeout(PATIENCE):
                while len(heard) < size:
                    with suppress(BlockingIOError):
                        heard += one.recv(2048)
                    await asyncio.sleep(0.0001)
            assert heard == words
            assert len(turns) < 2 * size / 1000  # about one for each piece
            turns.clear()
            one.send(b"more")
            await until(lambda: turns)

    runner.run(play())


def test_who_is_full_is_not_heard_whatever_its_protocol_says(runner):
    """A protocol that hears again after a pause gets nothing while its client does not read."""

    async def play():
        notes = []

        def hears(transport, _data):
            transport.write(bytes(8 << 20))

        with served(lambda: Notes(notes, hears)) as wires_, client(wires_) as one:
            one.send(b"one")
            await until(lambda: "full" in kinds(notes))
            notes[0][1].transport.resume_reading()
            one.send(b"two")
            for _ in range(50):
                await asyncio.sleep(0)
            assert kinds(notes).count("heard") == 1
            left = 8 << 20
            async with asyncio.timeout(PATIENCE):
                while left:
                    with suppress(BlockingIOError):
                        left -= len(one.recv(min(left, 1 << 20)))
                    await asyncio.sleep(0)
            await until(lambda: ("heard", b"two") in notes)

    runner.run(play())


def test_a_protocol_may_close_what_is_gone(runner, caplog):
    """Words and ends that come too late, from `connection_lost` itself, change nothing."""

    class Late(Notes):
        def connection_lost(self, error):
            super().connection_lost(error)
            self.transport.write(b"late")
            self.transport.close()
            self.transport.abort()

    async def play():
        notes = []
        with served(lambda: Late(notes)) as wires_:
            for _ in range(3):  # the next one is given the same descriptor
                notes.clear()
                with client(wires_) as one:
                    one.send(b"one")
                    await until(lambda: ("heard", b"one") in notes)
                    one.shutdown(socket.SHUT_WR)
                    await until(lambda: "lost" in kinds(notes))
                    await asyncio.sleep(0)
                    assert kinds(notes) == ["made", "heard", "eof", "lost"]
            assert wires_._wires == {}

    runner.run(play())
    assert caplog.text == ""


def test_aborted_is_ended_at_once(runner):
    """Nothing is sent to who is cut off, however much waits."""

    async def play():
        notes = []

        def hears(transport, _data):
            transport.write(bytes(16 << 20))
            asyncio.get_running_loop().call_soon(transport.abort)

        with served(lambda: Notes(notes, hears)) as wires_, client(wires_) as one:
            one.send(b"all")
            await until(lambda: "lost" in kinds(notes))
            assert len(await rest(one)) < 16 << 20

    runner.run(play())


def test_end_of_file_is_told_once_and_what_waits_is_answered(runner):
    """A client may say no more and still be answered, by whoever says that it waits."""

    class Waits(Notes):
        def eof_received(self):
            super().eof_received()
            self.transport.resume_reading()  # as whoever hears again after a pause
            return True

    async def play():
        notes = []
        with served(lambda: Waits(notes)) as wires_, client(wires_) as one:
            one.send(b"question")
            one.shutdown(socket.SHUT_WR)
            await until(lambda: "eof" in kinds(notes))
            for _ in range(50):
                await asyncio.sleep(0)
            assert kinds(notes) == ["made", "heard", "eof"]
            notes[0][1].transport.write(b"answer")
            notes[0][1].transport.close()
            assert await rest(one) == b"answer"
        assert kinds(notes) == ["made", "heard", "eof", "lost"]

    runner.run(play())


def test_end_of_file_ends_who_does_not_wait(runner):
    """A client that hangs up is gone."""

    async def play():
        notes = []
        with served(lambda: Notes(notes)) as wires_, client(wires_) as one:
            one.shutdown(socket.SHUT_WR)
            assert await rest(one) == b""
        assert kinds(notes) == ["made", "eof", "lost"]

    runner.run(play())


@pytest.mark.parametrize("deaf", [False, True])
def test_a_client_that_resets(runner, deaf):
    """It is gone when we hear, or, while we do not hear, when we speak."""

    async def play():
        notes = []
        with served(lambda: Notes(notes)) as wires_:
            with client(wires_) as one:
                await until(lambda: notes)
                transport = notes[0][1].transport
                if deaf:
                    transport.pause_reading()
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if deaf:
                for _ in range(50):
                    await asyncio.sleep(0)
                assert kinds(notes) == ["made"]
                transport.write(b"still there?")
            await until(lambda: len(notes) == 2)
            assert kinds(notes) == ["made", "lost"]
            assert transport.is_closing()
            transport.resume_reading()  # as a job that is done too late does
            transport.write(b"nobody")
            transport.abort()
            await asyncio.sleep(0)
        assert kinds(notes) == ["made", "lost"]

    runner.run(play())


def test_nothing_is_heard_in_a_pause_and_all_after_it(runner):
    """What a client says while it is not heard waits in the kernel."""

    async def play():
        notes = []
        with served(lambda: Notes(notes)) as wires_, client(wires_) as one:
            await until(lambda: notes)
            notes[0][1].transport.pause_reading()
            one.send(b"early")
            for _ in range(50):
                await asyncio.sleep(0)
            assert kinds(notes) == ["made"]
            notes[0][1].transport.resume_reading()
            await until(lambda: len(notes) == 2)
            assert notes[1] == ("heard", b"early")

    runner.run(play())


@pytest.mark.parametrize("where", ["connection_made", "data_received", "connection_lost"])
def test_a_protocol_that_breaks_ends_its_own_connection(runner, caplog, where):
    """The others go on, and the log says what broke."""

    async def play():
        notes, made = [], []

        def factory():
            made.append(Notes(notes, lambda transport, data: transport.write(data)))
            if len(made) == 1:

                def breaks(*_):
                    raise RuntimeError("a bug")

                setattr(made[0], where, breaks)
            return made[-1]

        with served(factory) as wires_, client(wires_) as one:
            await until(lambda: made)
            with client(wires_) as other:
                with suppress(OSError):  # it may be gone already
                    one.send(b"one")
                    one.shutdown(socket.SHUT_WR)
                other.send(b"other")
                with suppress(ConnectionResetError):
                    await rest(one)
                await until(lambda: ("heard", b"other") in notes)
                other.shutdown(socket.SHUT_WR)
                assert await rest(other) == b"other"

    with caplog.at_level(logging.ERROR, "guard.smtp"):
        runner.run(play())
    assert "a bug" in caplog.text


def test_last_words_arrive_before_the_reset(runner):
    """Who said more than was read is told why it is closed, although the kernel then resets."""

    async def play():
        def hears(transport, _data):
            transport.write(b"554 no\r\n")
            transport.close()

        with served(lambda: Notes([], hears)) as wires_, client(wires_) as one:
            one.send(bytes(1 << 20))  # more than a turn takes of one client
            words = b""
            async with asyncio.timeout(PATIENCE):
                while not words:
                    with suppress(BlockingIOError):
                        words = one.recv(100)
                    await asyncio.sleep(0)
            assert words == b"554 no\r\n"

    runner.run(play())


def test_a_turn_takes_in_no_more_than_its_share(runner, monkeypatch):
    """What one turn leaves the next one hears, and nothing is lost."""
    monkeypatch.setattr(wires, "_TAKEN", 4)

    async def play():
        notes = []
        with (
            served(lambda: Notes(notes)) as wires_,
            client(wires_) as one,
            client(wires_) as other,
            client(wires_) as third,
        ):
            await until(lambda: len(notes) == 3)
            for each in (one, other, third):
                each.send(b"four")
            await asyncio.sleep(0)
            await until(lambda: kinds(notes).count("heard") == 3)

    runner.run(play())


@contextmanager
def no_more_files(after):
    """No file beyond descriptor `after` may be opened, and those below are all taken."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    spares = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (after + 1, most))
    try:
        with suppress(OSError):
            while True:
                spares.append(os.dup(0))
        yield
    finally:
        for spare in spares:
            os.close(spare)
        resource.setrlimit(resource.RLIMIT_NOFILE, (least, most))


def test_without_descriptors_it_rests(runner, monkeypatch, caplog):
    """When no more files may be open, nobody is accepted for a moment, and then again."""
    monkeypatch.setattr(wires, "_BREATH", 0.01)

    async def play():
        notes = []
        with served(lambda: Notes(notes)) as wires_, client(wires_) as one:
            with no_more_files(one.fileno()):
                await until(lambda: "cannot accept connections" in caplog.text)
                assert notes == []
            await until(lambda: notes)
            one.send(b"hello")
            await until(lambda: len(notes) == 2)

    with caplog.at_level(logging.ERROR, "guard.smtp"):
        runner.run(play())


def test_who_leaves_makes_room_at_once(runner, monkeypatch, caplog):
    """When no more files may be open, the next one comes in as soon as somebody is gone."""
    monkeypatch.setattr(wires, "_BREATH", 1000.0)

    async def play():
        notes = []
        with (
            served(lambda: Notes(notes)) as wires_,
            client(wires_) as one,
            client(wires_) as other,
            client(wires_) as third,
            ExitStack() as stack,
        ):
            await until(lambda: len(notes) == 3)
            waiting = [stack.enter_context(closing(socket.socket())) for _ in range(3)]
            with no_more_files(waiting[-1].fileno()):
                for each in waiting:
                    each.connect(wires_.addresses[0])
                await until(lambda: "cannot accept connections" in caplog.text)
                for left, each in enumerate((one, other, third), 1):
                    each.shutdown(socket.SHUT_WR)
                    await until(lambda: kinds(notes).count("made") == 3 + left)  # noqa: B023
            assert caplog.text.count("cannot accept connections") == 1

    with caplog.at_level(logging.ERROR, "guard.smtp"):
        runner.run(play())


@pytest.mark.parametrize("where", ["pause_writing", "resume_writing"])
def test_one_that_breaks_at_a_slow_reader_ends_its_own_connection(runner, caplog, where):
    """A bug in what is done about a slow reader is told once, and others are answered."""

    async def play():
        notes, made = [], []

        def factory():
            made.append(Notes(notes, lambda transport, data: transport.write(data * 2**24)))
            return made[-1]

        with served(factory) as wires_, client(wires_, room=4096) as slow:
            await until(lambda: made)

            def breaks():
                raise RuntimeError("a bug")

            setattr(made[0], where, breaks)
            slow.send(b"x")
            if where == "resume_writing":
                await until(lambda: ("full", made[0]) in notes)
            with suppress(ConnectionResetError):
                await rest(slow)
            await until(lambda: ("lost", made[0]) in notes)
            with client(wires_) as other:
                other.send(b"y")
                other.shutdown(socket.SHUT_WR)
                assert len(await rest(other)) == 2**24
            await until(lambda: ("lost", made[1]) in notes)
            assert [note for note in notes if note[0] == "lost"] == [
                ("lost", made[0]),
                ("lost", made[1]),
            ]

    with caplog.at_level(logging.ERROR, "guard.smtp"):
        runner.run(play())
    assert caplog.text.count("RuntimeError: a bug") == 1


@pytest.mark.parametrize("room", [0, 1])
def test_who_cannot_be_waited_for_is_cut_off_alone(runner, caplog, monkeypatch, room):
    """The kernel limits how much epoll watches: one too many is closed, the others are served."""

    async def play():
        notes, watched = [], []
        with served(lambda: Notes(notes, lambda t, data: t.write(data))) as wires_:
            watch = wires_.watch

            def full(number, before, wanted):
                watched.append(number)
                if len(watched) == room + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                watch(number, before, wanted)

            monkeypatch.setattr(wires_, "watch", full)
            with client(wires_) as one, client(wires_) as other:
                unlucky, lucky = (one, other) if room == 0 else (other, one)
                assert await rest(unlucky) == b""
                lucky.send(b"hello")
                await until(lambda: ("heard", b"hello") in notes)
                assert kinds(notes).count("lost") == 1
                lucky.shutdown(socket.SHUT_WR)
                assert await rest(lucky) == b"hello"
            await until(lambda: kinds(notes).count("lost") == 2)

    with caplog.at_level(logging.ERROR, "guard.smtp"):
        runner.run(play())
    assert caplog.text.count("cannot be waited for: No space left on device") == 1


def test_closed_to_newcomers(runner):
    """After `close` nobody is accepted, who is there goes on, and `end` ends them."""

    async def play():
        notes = []
        with served(lambda: Notes(notes)) as wires_, client(wires_) as one:
            await until(lambda: notes)
            port = wires_.addresses[0][1]
            wires_.close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), PATIENCE)
            one.send(b"still here")
            await until(lambda: len(notes) == 2)
            wires_.end()
            assert kinds(notes) == ["made", "heard", "lost"]
            assert await rest(one) == b""
            wires_.end = lambda: None

    runner.run(play())


def test_who_waits_when_it_closes_is_not_cut_off(runner):
    """A client that is connected but not yet accepted is told what the protocol has to say."""

    class Bye(Notes):
        def connection_made(self, transport):
            transport.write(b"421 bye\r\n")
            transport.close()

    async def play():
        with served(lambda: Bye([])) as wires_, client(wires_) as one:
            wires_.close()
            assert await rest(one) == b"421 bye\r\n"

    runner.run(play())


def test_both_families_without_a_host(runner):
    """Everywhere means IPv4 and IPv6, each with its own socket; a connection knows its own end."""

    async def play():
        notes = []
        with served(lambda: Notes(notes), "") as wires_:
            assert [name[0] for name in wires_.addresses] == ["0.0.0.0", "::"]
            with client(wires_, "127.0.0.5"):
                await until(lambda: notes)
                transport = notes[0][1].transport
                port = wires_.addresses[0][1]
                assert transport.get_extra_info("sockname") == ("127.0.0.5", port)
                assert transport.get_extra_info("peername")[0] == "127.0.0.1"
                assert transport.get_extra_info("cipher", "none") == "none"

    runner.run(play())
