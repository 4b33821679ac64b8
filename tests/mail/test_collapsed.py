"""guard/mail/collapsed.py: what an attack leaves in the record log."""

import asyncio

from guard.mail.collapsed import CollapsedRecords
from guard.mail.recordlog import RecordLog
from guard.records import PeerAddress, Record, Response, decode


def record(address="192.0.2.1", kind="relay_denied", type_="Rejection", command="RCPT TO:<a@b>"):
    """A record as the listener makes it."""
    return Record(
        type=type_,
        response=Response(550 if type_ == "Rejection" else 250, None, "no", command),
        peer_address=PeerAddress("x", address),
        timestamp=1,
        event_time="",
        created=1,
        created_time="",
        nodeid="n",
        session_id="s",
        kind=kind,
    )


def lines(path):
    """(address, type, count) of every line in the log."""
    found = [decode(line) for line in path.read_bytes().splitlines()]
    return [(one.peer_address.addr, one.type, one.count) for one in found]


def test_an_attack_is_a_handful_of_lines(tmp_path):
    """The first at once, a count when the window ends; other kinds and mail are not mixed in."""
    now, path = [100.0], tmp_path / "records"
    log = RecordLog(path, lambda: now[0])
    sink = CollapsedRecords(log, 10.0, lambda: now[0])

    async def attack():
        for number in range(5000):
            sink.put(record(command=f"RCPT TO:<{number}@b>"))
        sink.put(record(kind="auth_failed"))
        sink.put(record("192.0.2.2"))
        sink.put(record(type_="Reception"))
        sink.put(record(type_="Reception"))
        assert len(lines(path)) == 5
        now[0] = 110.0
        sink.put(record("192.0.2.3"))

    asyncio.run(attack())
    assert lines(path)[:5] == [
        ("192.0.2.1", "Rejection", 1),
        ("192.0.2.1", "Rejection", 1),
        ("192.0.2.2", "Rejection", 1),
        ("192.0.2.1", "Reception", 1),
        ("192.0.2.1", "Reception", 1),
    ]
    assert lines(path)[5:] == [("192.0.2.1", "Rejection", 4999), ("192.0.2.3", "Rejection", 1)]
    sink.close()
    log.close()


def test_the_end_of_a_window_needs_no_further_record(tmp_path):
    """A timer writes the count; closing writes what is left."""
    path = tmp_path / "records"

    async def attack():
        loop = asyncio.get_running_loop()
        log = RecordLog(path, loop.time)
        sink = CollapsedRecords(log, 0.05, loop.time)
        for _ in range(3):
            sink.put(record())
        deadline = loop.time() + 10
        while len(lines(path)) < 2:
            assert loop.time() < deadline
            await asyncio.sleep(0.01)
        sink.put(record())
        sink.close()
        log.close()

    asyncio.run(attack())
    assert [count for _, _, count in lines(path)] == [1, 2, 1]
