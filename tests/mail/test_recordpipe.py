"""guard/mail/recordpipe.py: one writes for several, and nothing is lost on the way."""

import asyncio

from guard.mail.collapsed import CollapsedRecords
from guard.mail.recordpipe import Mouth, Pipe, pair
from guard.records import EnhancedCode, PeerAddress, Record, Response


class Kept:
    """A Sink that keeps what it is given."""

    def __init__(self):
        self.records = []

    def put(self, record):
        self.records.append(record)


def rejection(addr="192.0.2.1", code=550, content="ö\x00\u2028", **more):
    """A record of a refusal."""
    return Record(
        type="Rejection",
        response=Response(code, EnhancedCode(5, 7, 1), content, "RCPT TO:<\x1b>"),
        peer_address=PeerAddress("x", addr), timestamp=1, event_time="t", created=1,
        created_time="t", nodeid="n", session_id="s", kind="relay_denied", **more,
    )  # fmt: skip


def test_what_goes_in_comes_out():
    """Every member, of every type of record, with counts and lists."""
    kept, itself = Kept(), Kept()
    records = [rejection(count=7), rejection(recipient=["a", "b"], meta={"a": "b"})]

    async def main():
        ours, theirs = pair()
        mouth, pipe = Mouth(ours, kept), Pipe(theirs, itself)
        mouth.open()
        for record in records:
            pipe.put(record)
        mouth.close()
        pipe.close()

    asyncio.run(main())
    assert kept.records == records
    assert itself.records == []


def test_what_finds_no_room_is_written_by_oneself():
    """A full pipe, one that nobody has the other end of, and a record beyond all measure."""
    kept, itself = Kept(), Kept()

    async def main():
        ours, theirs = pair()
        mouth, pipe = Mouth(ours, kept), Pipe(theirs, itself)
        for _ in range(5000):
            pipe.put(rejection())
        assert itself.records
        pipe.put(rejection(content="x" * 10_000_000))
        mouth.open()
        mouth.close()
        assert len(kept.records) + len(itself.records) == 5001
        pipe.put(rejection())
        assert len(kept.records) + len(itself.records) == 5002
        pipe.close()

    asyncio.run(main())


def test_noise_in_the_pipe_stops_nothing(caplog):
    """What is no record is said and passed over."""
    kept = Kept()

    async def main():
        ours, theirs = pair()
        mouth = Mouth(ours, kept)
        mouth.open()
        theirs.send(b"\xff\xff")
        Pipe(theirs, Kept()).put(rejection())
        mouth.close()
        theirs.close()

    asyncio.run(main())
    assert len(kept.records) == 1
    assert "what is no record" in caplog.text


def test_an_attack_on_all_of_them_is_a_handful():
    """Equal ones of several processes are one run, with the exact count."""
    kept, now = Kept(), [0.0]

    async def main():
        ours, theirs = pair()
        whole = CollapsedRecords(kept, 10.0, lambda: now[0])
        mouth = Mouth(ours, whole)
        mouth.open()
        workers = [CollapsedRecords(Pipe(theirs, Kept()), 10.0, lambda: now[0]) for _ in range(4)]
        for _ in range(1000):
            for worker in workers:
                worker.put(rejection())
            now[0] += 0.025
            mouth._hear()
        for worker in workers:
            worker.close()
        mouth.close()
        whole.close()
        theirs.close()

    asyncio.run(main())
    assert sum(record.count or 1 for record in kept.records) == 4000
    assert len(kept.records) <= 6
