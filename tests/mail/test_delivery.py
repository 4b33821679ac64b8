"""Mail goes from the spool to where it belongs, over real sockets and a real name server."""

import asyncio
import contextlib
import json
import socket
from pathlib import Path

import msgspec
import pytest
from next_hops import Hop, NameServer, closed_port, until
from office import Office, dns, to

from guard.filters.hear import event_of
from guard.mail.reports import read_report
from guard.mail.rfc3464 import parse
from guard.mail.routing import parse_route
from guard.mail.settings import DeliverySettings, QueueSettings
from guard.mail.waiting import Message, State, Waiting
from guard.records import Heard, PeerAddress, encode
from guard.relay.verdict import Reports, Verdict


@pytest.fixture
def office(tmp_path: Path) -> Office:
    """An empty spool."""
    return Office(tmp_path / "spool")


def test_delivered(office: Office):
    """A message goes, its file goes, and a record tells of it."""
    id_ = office.mail("x@y.test", body=b"Subject: one\r\n\r\n.dot\r\n")

    async def main() -> Hop:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
            return hop

    hop = asyncio.run(main())
    (message,) = hop.messages
    assert message.data == b"Subject: one\r\n\r\n.dot\r\n"
    assert message.recipients == ["x@y.test"]
    (record,) = office.records
    written = json.loads(encode(record))
    assert written["id"] == id_
    assert written["type"] == "Delivery"
    assert written["queue"] == f"y.test![127.0.0.1]:{hop.port}"
    assert written["response"] == {
        "code": 250,
        "enhanced_code": {"class": 2, "subject": 0, "detail": 0},
        "content": "taken",
        "command": ".",
    }
    assert written["peer_address"] == {"name": "[127.0.0.1]", "addr": "127.0.0.1"}
    assert (written["delivery_protocol"], written["reception_protocol"]) == ("ESMTP", "ESMTP")
    assert (written["sender"], written["recipient"]) == ("a@b.test", "x@y.test")
    assert (written["num_attempts"], written["size"]) == (0, 22)


def test_a_delivery_is_good_standing(office: Office):
    """A host that takes our mail is one to be spared: the record says so to the sources."""
    office.mail()

    async def main() -> None:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)

    asyncio.run(main())
    heard = msgspec.json.decode(encode(office.records[0]), type=Heard)
    event = event_of(heard)
    assert event is not None
    assert event.address == "127.0.0.1"


def test_by_mx(office: Office):
    """The domain's MX, the next one where the first is down, the name where there is none."""
    office.mail("x@mx.test", "y@mx.test", "z@plain.test")

    async def main() -> Hop:
        zone = {
            ("mx.test", "MX"): ["10 down.test.", "20 up.test."],
            ("down.test", "A"): ["127.0.0.2"],
            ("up.test", "A"): ["127.0.0.1"],
            ("plain.test", "A"): ["127.0.0.1"],
        }
        async with Hop() as hop, NameServer(zone) as names:
            queues = {"default": QueueSettings(port=hop.port, prohibited_hosts=())}
            async with office.delivering(queues, resolver=dns(names.port)):
                await until(lambda: office.empty)
        return hop

    hop = asyncio.run(main())
    assert sorted(message.recipients for message in hop.messages) == [
        ["x@mx.test", "y@mx.test"],
        ["z@plain.test"],
    ]
    peers = {r.recipient: r.peer_address and r.peer_address.name for r in office.records}
    assert peers == {"x@mx.test": "up.test", "y@mx.test": "up.test", "z@plain.test": "plain.test"}
    assert {record.queue for record in office.records} == {"mx.test", "plain.test"}


def test_a_literal_in_the_address(office: Office):
    """`user@[127.0.0.1]` needs no DNS."""
    office.mail("x@[127.0.0.1]")

    async def main() -> None:
        async with Hop() as hop:
            queues = {"default": QueueSettings(port=hop.port, prohibited_hosts=())}
            async with office.delivering(queues):
                await until(lambda: office.empty)

    asyncio.run(main())
    assert office.types() == ["Delivery"]


def test_over_ipv6(office: Office):
    """A literal in KumoMTA's form, and the address in the record."""
    office.mail()

    async def main() -> None:
        hop = Hop(address="::1")
        queue = QueueSettings(
            routing_domain=parse_route(f"[IPv6:::1]:{hop.port}"), prohibited_hosts=()
        )
        async with hop, office.delivering({"default": queue}):
            await until(lambda: office.empty)

    asyncio.run(main())
    assert office.records[0].peer_address == PeerAddress("[IPv6:::1]", "::1")


def test_tried_again_until_it_goes(office: Office):
    """4xx is tried again by the schedule; the state tells how often and why."""
    id_ = office.mail()
    refusals = iter(["451 4.7.1 greylisted", "450 4.2.0 later"])

    async def main() -> None:
        hop = Hop(answers={"RCPT": lambda _: next(refusals, "250 ok")})
        async with hop, office.delivering({"default": to(hop.port, retry_interval=0.4)}):
            await until(lambda: len(office.records) == 1)
            waiting = Waiting(office.folder)
            await until(lambda: waiting.load(id_).state.attempts == 1)
            assert waiting.load(id_).state.last == "451 4.7.1 greylisted"
            await until(lambda: office.empty)

    asyncio.run(main())
    assert office.types() == ["TransientFailure", "TransientFailure", "Delivery"]
    assert [record.num_attempts for record in office.records] == [0, 1, 2]


def test_down_for_a_while(office: Office):
    """Nobody listens; later somebody does."""
    ids = {office.mail() for _ in range(20)}

    async def main() -> Hop:
        port = closed_port()
        async with office.delivering({"default": to(port)}):
            await until(lambda: len(office.records) >= 20)
            hop = Hop()
            hop.port = port
            async with hop:
                await until(lambda: office.empty)
        return hop

    hop = asyncio.run(main())
    assert len(hop.messages) == 20
    assert {r.id for r in office.records if r.type == "Delivery"} == ids
    assert office.records[0].response.content.startswith("connecting to 127.0.0.1 port")


def test_a_connection_dropped_after_data(office: Office):
    """No answer to the whole message: it may have been taken, and goes again (RFC 5321, 6.1)."""
    office.mail()
    drops = iter([None])

    async def main() -> Hop:
        hop = Hop(answers={".": lambda _: next(drops, "250 2.0.0 taken")})
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
        return hop

    assert len(asyncio.run(main()).messages) == 2
    assert office.types() == ["TransientFailure", "Delivery"]
    assert office.records[0].response.content.startswith("the message: ")


def test_every_recipient_its_own_fate(office: Office):
    """Served, refused and delayed in one message: one copy, one bounce, one more attempt."""
    office.mail("ok@y.test", "no@y.test", "later@y.test")
    later = iter(["450 4.2.0 later"])

    async def main() -> Hop:
        hop = Hop(
            answers={
                "RCPT TO:<NO": "550 5.1.1 no such user",
                "RCPT TO:<LATER": lambda _: next(later, "250 ok"),
            }
        )
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
        return hop

    hop = asyncio.run(main())
    mine = [message for message in hop.messages if "<a@b.test>" in message.sender]
    assert [message.recipients for message in mine] == [["ok@y.test"], ["later@y.test"]]
    (bounce,) = [message for message in hop.messages if "<>" in message.sender]
    assert bounce.recipients == ["a@b.test"]
    report = parse(bounce.data)
    assert report is not None
    (failed,) = report.per_recipient
    assert failed.final_recipient.recipient == "no@y.test"
    assert failed.remote_mta is not None
    assert sorted(office.types()) == [
        "Bounce",
        "Delivery",
        "Delivery",
        "Delivery",
        "TransientFailure",
    ]


def test_a_bounce_never_bounces(office: Office):
    """Mail of the null sender that is refused ends there."""
    office.mail(sender="")

    async def main() -> Hop:
        hop = Hop(answers={"RCPT": "550 5.1.1 no"})
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
            await asyncio.sleep(0.5)  # nothing more may come
        return hop

    hop = asyncio.run(main())
    assert office.types() == ["Bounce"]
    assert sum(command.startswith("MAIL") for command in hop.commands) == 1


@pytest.mark.parametrize("about", ["delivery-status", "disposition-notification"])
def test_a_bounce_of_somebody_with_a_name(office: Office, about: str):
    """A bounce is known by what it is, whatever sender it has: nobody is told of its failure."""
    kind = f'multipart/report; report-type={about}; boundary="b"'
    office.mail(sender="postmaster@b.test", body=f"Content-Type: {kind}\r\n\r\n--b--\r\n".encode())

    async def main() -> Hop:
        hop = Hop(answers={"RCPT TO:<X": "550 5.1.1 no"})
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
        return hop

    told = [message.recipients for message in asyncio.run(main()).messages]
    assert told == ([] if about == "delivery-status" else [["postmaster@b.test"]])


def test_an_eight_bit_message_to_a_server_without(office: Office):
    """The one server that there is takes no 8-bit messages: its reason reaches the sender by it."""
    office.mail("x@y.test", body="Subject: grüße\r\n\r\nö\r\n".encode())
    office.mail("ü@y.test")

    async def main() -> Hop:
        hop = Hop(extensions=[])
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
        return hop

    reports = [parse(message.data) for message in asyncio.run(main()).messages]
    codes = {
        (one.final_recipient.recipient, one.status.detail)
        for report in reports
        if report is not None
        for one in report.per_recipient
    }
    assert codes == {("x@y.test", 3), ("ü@y.test", 7)}


def test_a_bounce_that_is_refused_is_the_last(office: Office):
    """The sender's server refuses the bounce: nobody is told of that."""
    office.mail()

    async def main() -> None:
        hop = Hop(answers={"RCPT": "550 5.1.1 no"})
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty and len(office.records) == 2)

    asyncio.run(main())
    assert [(r.type, r.sender) for r in office.records] == [("Bounce", "a@b.test"), ("Bounce", "")]


def test_no_bounces_where_none_are_wanted(office: Office):
    """`bounces = false`: as KumoMTA does by itself."""
    office.mail()

    async def main() -> Hop:
        hop = Hop(answers={"RCPT TO:<X": "550 5.1.1 no"})
        settings = DeliverySettings(hostname="me.test", bounces=False)
        async with hop, office.delivering({"default": to(hop.port)}, settings=settings):
            await until(lambda: office.empty)
        return hop

    assert not asyncio.run(main()).messages


def test_expired(office: Office):
    """Given up after its time, with a record and a bounce that say so."""
    office.mail("x@y.test")

    async def main() -> Hop:
        hop = Hop(answers={"RCPT TO:<X": "451 4.7.1 never"})
        queue = to(hop.port, retry_interval=0.3, max_age=0.5)
        async with hop, office.delivering({"default": queue}):
            await until(lambda: office.empty)
        return hop

    hop = asyncio.run(main())
    types = office.types()
    assert types[-2:] == ["Expiration", "Delivery"]
    assert set(types[:-2]) == {"TransientFailure"}
    expired = office.records[-2]
    assert (expired.response.code, expired.delivery_protocol) == (551, None)
    report = parse(hop.messages[0].data)
    assert report is not None
    assert report.per_recipient[0].status.detail == 7


@pytest.mark.parametrize(
    ("recipient", "code", "text"),
    [
        ("x@null.test", 556, "null MX"),
        ("x@self.test", 550, "prohibited_hosts"),
        ("postmaster", 550, "no way to no domain"),
        ("x@[10.1]", 550, "no way to"),
    ],
)
def test_what_can_never_go(office: Office, recipient: str, code: int, text: str):
    """Null MX, ourselves, and what is no domain: refused at once, without a conversation."""
    office.mail(recipient, sender="")

    async def main() -> None:
        zone = {("null.test", "MX"): ["0 ."], ("self.test", "A"): ["127.0.0.1"]}
        names = NameServer(zone)
        async with names, office.delivering({}, resolver=dns(names.port)):
            await until(lambda: office.empty)

    asyncio.run(main())
    (record,) = office.records
    assert (record.type, record.response.code) == ("Bounce", code)
    assert text in record.response.content
    assert record.peer_address is None


def test_a_loop_is_broken(office: Office):
    """Fifty-one hosts have seen it: it is running in a circle."""
    office.mail(sender="", body=b"Received: x\r\n" * 51 + b"\r\n")
    office.mail(sender="", body=b"Received: x\r\n" * 50 + b"\r\n")

    async def main() -> None:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)

    asyncio.run(main())
    assert sorted((r.type, r.response.code) for r in office.records) == [
        ("Bounce", 554),
        ("Delivery", 250),
    ]


def test_connections_are_used_again_within_limits(office: Office):
    """So many at once, so many messages on each."""
    for _ in range(60):
        office.mail()

    async def main() -> Hop:
        hop = Hop(delay=0.002)
        queue = to(hop.port, connections=3, messages_per_connection=7)
        async with hop, office.delivering({"default": queue}):
            await until(lambda: office.empty)
        return hop

    hop = asyncio.run(main())
    assert len(hop.messages) == 60
    assert hop.most_open <= 3
    on_each = [sum(m.connection == c for m in hop.messages) for c in range(1, hop.connections + 1)]
    assert max(on_each) <= 7
    assert hop.connections < 30


def test_a_connection_that_died_meanwhile(office: Office):
    """A server that hangs up between messages costs no attempt."""

    async def main() -> None:
        hop = Hop()
        hop.answers["MAIL"] = lambda _: None if hop.commands.count(".") == 1 else "250 ok"
        async with hop, office.delivering({"default": to(hop.port, connections=1)}):
            office.mail()
            await until(lambda: len(office.records) == 1)
            hop_connections = hop.connections
            office.mail()
            # The second MAIL on the old connection is met with a hang-up.
            await until(lambda: hop.connections > hop_connections)
            hop.answers.clear()
            await until(lambda: office.empty)

    asyncio.run(main())
    assert office.types()[-1] == "Delivery"


def test_rate(office: Office):
    """Twenty a second is one every fiftieth of a second, on however many connections."""
    for _ in range(10):
        office.mail()

    async def main() -> float:
        from guard.mail.schedule import Rate

        async with Hop() as hop:
            queue = to(hop.port, rate=Rate(20, 1.0))
            begin = asyncio.get_running_loop().time()
            async with office.delivering({"default": queue}):
                await until(lambda: office.empty)
            return asyncio.get_running_loop().time() - begin

    assert asyncio.run(main()) >= 9 * 0.05


def test_one_slow_destination_does_not_hold_up_others(office: Office):
    """A server that never answers keeps its own mail waiting, nobody else's."""
    for number in range(100):
        office.mail(f"{number}@slow.test")
    for number in range(20):
        office.mail(f"{number}@fast.test")

    async def main() -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            silent.listen(100)
            async with Hop() as hop:
                queues = {"slow.test": to(silent.getsockname()[1]), "fast.test": to(hop.port)}
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(office.runner(queues).run())
                    # Long before the silent server is given up.
                    await until(lambda: len(hop.messages) == 20, 25)
                    task.cancel()

    asyncio.run(main())
    assert set(office.types()) == {"Delivery"}


def test_one_runner_at_a_time(office: Office):
    """A second process stands by, and takes over when the first ends."""
    office.mail()

    async def main() -> Hop:
        async with Hop() as hop:
            queues = {"default": to(hop.port)}
            async with office.delivering(queues) as first, Office(office.folder).delivering(queues):
                await until(lambda: office.empty)
                first.finish()
                office.mail()
                await until(lambda: len(hop.messages) == 2)
        return hop

    assert len(asyncio.run(main()).messages) == 2


def test_what_the_operator_asks_for(office: Office):
    """Hold, release, retry and drop are heard by the runner within a moment."""
    held, dropped, waiting = (
        office.mail("h@y.test"),
        office.mail("d@y.test"),
        Waiting(office.folder),
    )

    async def main() -> None:
        hop = Hop(answers={"RCPT": "450 later"})
        async with hop, office.delivering({"default": to(hop.port, retry_interval=1000)}) as runner:
            await until(lambda: len(office.records) == 2)
            waiting.ask("hold", held)
            waiting.ask("drop", dropped)
            await until(lambda: waiting.ids() == [held] and waiting.load(held).state.held)
            assert office.records[-1].type == "AdminBounce"
            hop.answers.clear()
            waiting.ask("retry", dropped)  # it is gone: nothing happens
            assert runner.status().waiting >= 1
            waiting.ask("release", held)
            await until(lambda: office.empty)

    asyncio.run(main())
    assert office.types()[-1] == "Delivery"


def test_a_held_message_is_not_tried(office: Office):
    """Also not by a runner that starts later."""
    held, other = office.mail("h@y.test"), office.mail("o@y.test")
    waiting = Waiting(office.folder)
    waiting.open()
    waiting.save(held, State(held=True))

    async def main() -> None:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: waiting.ids() == [held])

    asyncio.run(main())
    assert [record.id for record in office.records] == [other]


def test_a_damaged_message_holds_nobody_up(office: Office, caplog: pytest.LogCaptureFixture):
    """It is set aside and named; the rest goes."""
    bad = "0" * 32
    (office.spool.new / bad).write_bytes(b"{torn")
    office.mail()

    async def main() -> None:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)

    asyncio.run(main())
    assert office.types() == ["Delivery"]
    assert f"message {bad} is damaged" in caplog.text
    assert (office.folder / "damaged" / bad).exists()


def test_a_wish_for_a_message_under_way(office: Office):
    """It is heard after the attempt: here it was delivered, and nothing is left to drop."""
    id_ = office.mail()
    waiting = Waiting(office.folder)

    async def main() -> Hop:
        hop = Hop(delay=0.7, slow="DATA")
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: "DATA" in hop.commands)
            waiting.ask("drop", id_)
            await until(lambda: office.empty)
            await until(lambda: not list((office.folder / "asked").iterdir()))
        return hop

    assert len(asyncio.run(main()).messages) == 1
    assert office.types() == ["Delivery"]


@pytest.mark.parametrize("broken", ["ids", "load", "asked"])
def test_a_disk_that_fails_to_read_is_asked_again(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
):
    """The operator is told, and the mail goes when the disk is back."""
    from guard.mail import delivery
    from guard.roles import Unavailable

    monkeypatch.setattr(delivery, "_AGAIN", 0.05)
    real, failures = getattr(Waiting, broken), iter([1, 1])

    def fail(self: Waiting, *arguments: str):
        if next(failures, 0):
            raise Unavailable("spool: Input/output error")
        return real(self, *arguments)

    monkeypatch.setattr(Waiting, broken, fail)
    office.mail()

    async def main() -> None:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}) as runner:
            await until(lambda: office.records and office.empty)
            assert runner.tell()["delivered"] == 1

    asyncio.run(main())
    assert caplog.text.count("spool: Input/output error") == 2


def test_a_message_that_somebody_deleted(office: Office, monkeypatch: pytest.MonkeyPatch):
    """Gone between two looks: no traceback, and nothing is left of it."""
    gone = office.mail("gone@y.test")
    real = Waiting.body

    def body(self: Waiting, message: Message):
        if message.envelope.id == gone:
            (self.new / gone).unlink(missing_ok=True)
        return real(self, message)

    monkeypatch.setattr(Waiting, "body", body)
    office.mail()

    async def main() -> None:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}) as runner:
            await until(lambda: not runner.status().waiting and len(office.records) == 2)

    asyncio.run(main())
    assert sorted(office.types()) == ["Delivery", "TransientFailure"]
    assert not list(office.spool.new.iterdir())


def test_status(office: Office):
    """Depth and age for an operator and a graph."""
    office.mail()

    async def main() -> None:
        hop = Hop(answers={"RCPT": "450 later"})
        async with hop, office.delivering({"default": to(hop.port, retry_interval=1000)}) as runner:
            await until(lambda: runner.status().deferred == 1 and not runner.status().open)
            status = runner.status()
            assert (status.waiting, status.delivered, status.bounced) == (1, 0, 0)
            assert 0 <= status.oldest < 60

    asyncio.run(main())


def test_other_ways_from_now_on(office: Office):
    """New settings hold for the attempts that begin after them."""
    office.mail()

    async def main() -> Hop:
        hop, nowhere = Hop(), {"default": to(closed_port())}
        async with hop, office.delivering(nowhere) as runner:
            await until(office.types)
            runner.reconfigure({"default": to(hop.port)})
            await until(lambda: office.empty)
        return hop

    assert len(asyncio.run(main()).messages) == 1


def test_cancelled_in_the_middle(office: Office):
    """A daemon that has no patience leaves the message where it is, whole, and the lock free."""
    office.mail()

    async def main() -> Hop:
        hop = Hop(delay=5, slow="DATA")
        async with hop:
            with contextlib.suppress(asyncio.CancelledError):
                async with asyncio.TaskGroup() as group:
                    runner = office.runner({"default": to(hop.port)})
                    task = group.create_task(runner.run())
                    await until(lambda: "DATA" in hop.commands)
                    task.cancel()
        return hop

    assert not asyncio.run(main()).messages
    (id_,) = Waiting(office.folder).ids()
    assert Waiting(office.folder).load(id_).state == State()
    with Waiting(office.folder).lock() as mine:
        assert mine


def test_finish_lets_what_is_under_way_end(office: Office):
    """A stop in the middle of a message waits for the server's answer to it."""
    office.mail()
    office.mail()

    async def main() -> Hop:
        hop = Hop(delay=0.1)
        async with hop, office.delivering({"default": to(hop.port, connections=1)}):
            await until(lambda: any(c.startswith("DATA") for c in hop.commands))
        return hop

    hop = asyncio.run(main())
    assert len(hop.messages) == 1
    assert office.types() == ["Delivery"]
    assert len(list(office.spool.new.iterdir())) == 1


def test_a_disk_that_fails_does_not_send_twice(office: Office, monkeypatch: pytest.MonkeyPatch):
    """What was delivered and cannot be removed is removed later, and not delivered again."""
    from guard.mail import account
    from guard.roles import Unavailable

    monkeypatch.setattr(account, "_AGAIN", 0.05)
    real, failures = Waiting.remove, iter([1, 1, 1])

    def remove(self: Waiting, id_: str) -> None:
        if next(failures, 0):
            raise Unavailable("spool: Input/output error")
        real(self, id_)

    monkeypatch.setattr(Waiting, "remove", remove)
    office.mail()

    async def main() -> Hop:
        async with Hop() as hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
        return hop

    assert len(asyncio.run(main()).messages) == 1


def test_our_bounce_is_recognised_by_our_listener(office: Office):
    """What we send, we would log as an OOB report when it came to us."""
    office.mail("no@y.test")

    async def main() -> Hop:
        hop = Hop(answers={"RCPT TO:<NO": "550 5.1.1 no such user"})
        async with hop, office.delivering({"default": to(hop.port)}):
            await until(lambda: office.empty)
        return hop

    hop = asyncio.run(main())
    report = read_report(
        hop.messages[0].data, office.records[0], Verdict(relay=False, log_oob=Reports.LOG)
    )
    assert report is not None
    assert report.records[0].recipient == "no@y.test"
    assert report.records[0].response.code == 550
