"""So many messages in, the same out, counted by Message-ID, with kills of our process on the way.

In full, 10,000 messages and ten kills, with GUARD_SOAK set (`make soak`); otherwise a short form.
"""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from postfix import Postfix, eventually, inject
from relay import Relay, client_of

FULL = bool(os.environ.get("GUARD_SOAK"))
MESSAGES, KILLS = (10_000, 10) if FULL else (400, 2)
CLIENTS = 4

pytestmark = pytest.mark.root


def test_kills_lose_nothing(tmp_path: Path):
    """SIGKILL while receiving and delivering: nothing is lost, little goes twice."""
    with contextlib.ExitStack() as stack:
        hop = stack.enter_context(Postfix(virtual_mailbox_domains="y.test"))
        relay = Relay(tmp_path, hop.port)
        stack.callback(relay.stop)
        relay.start()
        client = stack.enter_context(client_of(relay))
        ids: set[str] = set()
        share = MESSAGES // CLIENTS

        def feed(number: int) -> None:
            ids.update(inject(client.port, range(number * share, (number + 1) * share)))

        feeders = [threading.Thread(target=feed, args=(number,)) for number in range(CLIENTS)]
        for feeder in feeders:
            feeder.start()
        for kill in range(KILLS):
            # Each kill comes when another part of the messages has arrived at the other end.
            part = MESSAGES * (kill + 1) // (KILLS + 2)
            assert eventually(lambda part=part: hop.count() >= part, 300), relay.said()[-3000:]
            relay.stop(signal.SIGKILL)
            time.sleep(0.2)
            relay.start()
        for feeder in feeders:
            feeder.join()
        assert len(ids) == MESSAGES
        assert eventually(lambda: hop.ids().keys() >= ids, 300), (
            f"{len(ids - hop.ids().keys())} missing, {client.queued()} at the client, "
            f"{relay.queued()} here, {hop.queued()} at the next hop\n{relay.said()[-3000:]}"
        )
        assert eventually(lambda: not relay.queued() and not client.queued(), 60)
        found = hop.ids()
        assert found.keys() == ids
        doubled = sum(found.values()) - MESSAGES
        # What was under way at a kill goes twice: the client had no answer yet, or we had none.
        # Twenty connections of the client and ten of ours, at each kill.
        assert doubled <= 30 * KILLS
        print(f"{MESSAGES} messages, {KILLS} kills, {doubled} went twice")
        assert not list((relay.spool / "damaged").iterdir())
        assert not list((relay.spool / "state").iterdir())
