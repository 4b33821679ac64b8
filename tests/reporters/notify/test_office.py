"""Notifiers in their threads, with real receivers."""

import asyncio
import contextlib
import threading
import time

import pytest
from netns import eventually
from notices import NOW, SECRET, Receiving, claim

from guard.lib import clock
from guard.lib.networks import parse_network
from guard.reporters.notify.book import SCHEMA, VERSION, Book
from guard.reporters.notify.notifier import Notifier
from guard.reporters.notify.office import Office
from guard.reporters.notify.receivers import Poster
from guard.reporters.notify.settings import WebhookNotify
from guard.stores.database import open_file


class Running:
    """An office that runs, as in the daemon: in a task, which is cancelled at the end."""

    def __init__(self, office):
        self.office = office
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._begun = threading.Event()
        self._thread.start()
        self._begun.wait()

    async def _main(self):
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._loop.call_soon(self._begun.set)
        with contextlib.suppress(asyncio.CancelledError):
            await self.office.run()

    def __getattr__(self, name):
        return getattr(self.office, name)

    def stop(self):
        """Ends it, once."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
            self._thread.join()
            self.office.stop()


class Fixture:
    """Offices in a folder, over servers."""

    def __init__(self, folder):
        self.folder, self.servers, self.offices = folder, [], []
        (folder / "secret").write_text(SECRET)

    def office(self, count=1, **settings):
        """An office with `count` notifiers, each of a server of its own; running."""
        while len(self.servers) < count:
            self.servers.append(Receiving())
        notifiers = []
        for n, server in enumerate(self.servers[:count]):
            item = WebhookNotify(
                **{
                    "type": "webhook",
                    "name": f"n{n}",
                    "url": server.url,
                    "secret_file": self.folder / "secret",
                    "timeout": 60.0,
                    **settings,
                }
            )
            book = Book(open_file(self.folder / f"n{n}.db", SCHEMA, VERSION), item.on)
            notifiers.append(Notifier(item, Poster(item), book, "here"))
        self.offices.append(Running(Office(notifiers, clock.now)))
        return self.offices[-1]


@pytest.fixture
def here(tmp_path):
    """Everything ends at the end."""
    made = Fixture(tmp_path)
    yield made
    for server in made.servers:
        server.close()
    for office in made.offices:
        office.stop()


def test_a_flood_is_a_bounded_number_of_posts_with_exact_totals(here):
    """Five thousand bans as they come from jails, and one hundred ends."""
    office = here.office(burst=5, interval=2.0)
    now = clock.now()
    began = time.monotonic()
    for n in range(5000):
        office.banned([claim(n, now=now)])
    for n in range(100):
        office.unbanned([claim(n).network], now)
    assert time.monotonic() - began < 2, "the ban path waits"
    told = here.servers[0].requests

    def totals():
        digests = [r.json for r in told if r.json["event"] == "digest"]
        singles = [r.json["event"] for r in told if r.json["event"] != "digest"]
        return tuple(
            singles.count(event) + sum(d[f"{event}s"] for d in digests)
            for event in ("ban", "unban")
        )

    assert eventually(lambda: totals() == (5000, 100), 30)
    assert len(told) <= 15
    assert all(request.signed() for request in told)
    assert office.rows()[0]["queued"] == 0


def test_who_hangs_holds_up_nobody_else(here):
    """Neither the other receiver, nor the next ban, nor the end."""
    office = here.office(count=2)
    here.servers[0].hanging.set()
    office.banned([claim(1, now=clock.now())])
    assert here.servers[0].came.wait(10)
    began = time.monotonic()
    office.banned([claim(2, now=clock.now())])
    assert time.monotonic() - began < 0.5
    assert eventually(lambda: len(here.servers[1].requests) == 2, 10)
    began = time.monotonic()
    office.stop()
    assert time.monotonic() - began < 3
    here.servers[0].hanging.clear()
    here.servers[0].over.set()


def test_what_came_at_the_very_end_is_written_down(here):
    """And told by the next process."""
    office = here.office()
    office.stop()
    again = here.office(burst=1)
    again.banned([claim(1, now=clock.now())])
    again.stop()
    here.office()
    assert eventually(lambda: len(here.servers[0].requests) == 1, 10)


def test_ends_that_nobody_told_are_found(here):
    """The ledger says who is free; who is not is left."""
    office = here.office()
    office.banned([claim(n, now=clock.now()) for n in (1, 2)])
    assert eventually(lambda: len(here.servers[0].requests) == 2, 10)

    class Ledger:
        """Only one is still claimed."""

        def past(self, networks, now):
            held = {claim(2).network: (claim(2),)}
            return [type("Past", (), {"claims": held.get(n, ())}) for n in networks]

    finish = office.sweep(Ledger())(clock.now())
    finish(clock.now())
    assert eventually(lambda: len(here.servers[0].requests) == 3, 10)
    last = here.servers[0].requests[-1].json
    assert (last["event"], last["network"]) == ("unban", str(claim(1).network))
    office.unbanned([parse_network("203.0.113.9")], NOW)
    time.sleep(0.2)
    assert len(here.servers[0].requests) == 3


def test_nobody_to_tell_costs_nothing():
    """No thread of its own, nothing to sweep."""
    before = threading.active_count()
    office = Running(Office([], clock.now))
    office.banned([claim(1)])
    assert office.rows() == []
    assert office.sweep(None)(NOW) is None
    assert threading.active_count() == before + 1
    office.stop()


def test_a_broken_notifier_does_not_end_its_thread(here, monkeypatch):
    """A fault of ours is logged, and the next message is told."""
    monkeypatch.setattr("guard.lib.beside.FAULT_PAUSE", 0.1)
    broken = [ZeroDivisionError()]
    step = Notifier.step

    def sometimes(self, now):
        if broken:
            raise broken.pop()
        return step(self, now)

    monkeypatch.setattr(Notifier, "step", sometimes)
    office = here.office()
    office.banned([claim(1, now=clock.now())])
    assert eventually(lambda: len(here.servers[0].requests) == 1, 10)
