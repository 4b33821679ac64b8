"""`guard spool` beside a running `guard up`: what an operator types is what happens."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from next_hops import closed_port
from postfix import eventually, inject
from relay import Relay
from service import guard


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    """A relay whose next hop is not there, with three messages."""
    made = Relay(tmp_path, closed_port(), retry="100s")
    made.start()
    try:
        inject(made.port, range(3))
        yield made
    finally:
        made.stop()


def rows(relay: Relay) -> list[dict]:
    """What `guard spool --json` prints."""
    return relay.ask("spool", "list")


def test_an_operator_at_work(relay: Relay):
    """List, show, hold, drop and retry, while the process delivers."""
    assert eventually(lambda: [row["attempts"] for row in rows(relay)] == [1, 1, 1])
    first, second, third = rows(relay)
    assert first["last"].startswith("451 4.4.2 connecting to 127.0.0.1 port")
    assert first["recipients"] == ["user@y.test"]
    (shown,) = relay.ask("spool", "show", first["id"][:20])
    assert "Message-ID: <0." in shown["headers"]
    assert shown["meta"]["hostname"] == "guard.test"
    config = ("-c", str(relay.config))
    assert guard("spool", "hold", first["id"], *config).returncode == 0
    assert guard("spool", "drop", second["id"], *config).returncode == 0
    assert guard("spool", "retry", third["id"], *config).returncode == 0
    assert eventually(lambda: len(rows(relay)) == 2)
    assert eventually(lambda: [row["held"] for row in rows(relay)] == [True, False])
    assert eventually(lambda: [row["attempts"] for row in rows(relay)] == [1, 2])
    gone = guard("spool", "show", second["id"], *config)
    assert (gone.returncode, gone.stderr) == (
        1,
        f"guard: no message begins with {second['id']}\n",
    )
    records = [json.loads(line) for line in relay.records.read_text().splitlines()]
    dropped = [record["id"] for record in records if record["type"] == "AdminBounce"]
    assert dropped == [second["id"]]
    (status,) = relay.ask("status")[0]["delivery"]
    assert status["waiting"] == 2
    assert guard("spool", "drop", *config).returncode == 64
