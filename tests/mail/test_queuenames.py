"""Receptions name the queue that deliveries name."""

from pathlib import Path

import msgspec
import pytest
from office import Office

from guard.mail.queuenames import QueueNames
from guard.mail.routing import parse_route
from guard.mail.settings import QueueSettings
from guard.records import Record, Response

RECORD = Record(
    type="Reception",
    queue="y.test",
    response=Response(250),
    peer_address=None,
    timestamp=1,
    event_time="",
    created=1,
    created_time="",
    nodeid="",
    session_id="",
)


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        ("y.test", "y.test![192.0.2.1]:26"),
        ("z.test", "z.test!smart.test"),
        ("plain.test", "plain.test"),
        ("", ""),
    ],
)
def test_names(tmp_path: Path, queue: str, expected: str):
    """With the routing domain where there is one; a record without a queue stays as it is."""
    routes = {"y.test": "[192.0.2.1]:26", "z.test": "smart.test"}
    queues = {name: QueueSettings(routing_domain=parse_route(to)) for name, to in routes.items()}
    office = Office(tmp_path)
    QueueNames(office, queues).put(msgspec.structs.replace(RECORD, queue=queue))
    assert [record.queue for record in office.records] == [expected]


def test_other_queues_from_now_on(tmp_path: Path):
    """As delivery, when the configuration is read anew."""
    office = Office(tmp_path)
    names = QueueNames(office, {})
    names.put(RECORD)
    names.reconfigure({"default": QueueSettings(routing_domain=parse_route("smart.test"))})
    names.put(RECORD)
    assert [record.queue for record in office.records] == ["y.test", "y.test!smart.test"]
