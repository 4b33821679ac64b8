"""One notifier: takes what happens, keeps it, and tells its receiver at its pace.

`banned` and its like are called where bans are made and never wait; `keep` writes down what came,
`step` tells. Each of these two is called by a thread of its own (office.py), so that a receiver
that hangs keeps nothing from being written down.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from guard.events import Claim
from guard.lib.backoff import FIRST_PAUSE
from guard.lib.networks import Network
from guard.reporters.notify.book import Book, Gone, Happened, Message
from guard.reporters.notify.receivers import Never, NotNow, Receiver
from guard.reporters.notify.settings import MailNotify, NotifySettings, name_of, tells_of
from guard.reporters.notify.values import Count, Digest, FeedChange, Notice, Occasion
from guard.roles import GuardError

log = logging.getLogger("guard.notify")

IDLE = 1.0  # seconds between two looks when nothing is due
LONGEST_PAUSE = 300.0
LONGEST_WAIT = 3600.0  # whoever asks for more is asked again all the same
INBOX = 200_000  # what may come while the disk takes nothing
AT_ONCE = 10_000
SUSPECTS = 500


def new_id(now: float) -> str:
    """32 hexadecimal digits that nobody else draws; the first 12 are milliseconds."""
    return f"{int(now * 1000) & 0xFFFFFFFFFFFF:012x}{secrets.token_hex(10)}"


def pause(attempts: int) -> float:
    """How long to wait after so many failures in a row."""
    return min(FIRST_PAUSE * 2.0 ** min(attempts, 20), LONGEST_PAUSE)


class Notifier:
    """Tells `receiver` what `settings` say. `host` is which Guard tells it."""

    def __init__(
        self, settings: NotifySettings, receiver: Receiver, book: Book, host: str = ""
    ) -> None:
        self.name = name_of(settings)
        self._settings, self._receiver, self._book, self._host = settings, receiver, book, host
        self._inbox: deque[Happened] = deque()
        self._kinds: dict[str, int] = {}
        self._turn = ""
        self._open = _notices(book.message())
        self._sent = self._failed = self._expired = self._full = 0
        self._error = ""

    def banned(self, claims: Iterable[Claim]) -> None:
        """Claims that were made. Takes a microsecond each, whatever the receiver does."""
        sources = self._settings.sources
        self._take([claim for claim in claims if tells_of(sources, claim.source)])

    def unbanned(self, networks: Iterable[Network], now: float) -> None:
        """Networks that nobody claims any more."""
        self._take([Gone(network, now) for network in networks])

    def list_changed(self, change: FeedChange) -> None:
        """So many networks came to a list, and went."""
        if self._settings.digest and tells_of(self._settings.sources, f"feed:{change.name}"):
            self._take([change])

    def rejected(self, kinds: Mapping[str, int]) -> None:
        """How many rejections of each kind there were since the start."""
        if not self._settings.digest:
            return
        more = [Count(name, n - self._kinds.get(name, 0)) for name, n in kinds.items()]
        self._kinds = dict(kinds)
        self._take([count for count in more if count.number > 0])

    def keep(self) -> bool:
        """Writes down what came, and says whether anything did.

        Raises what the book raises, with nothing lost.
        """
        came = bool(self._inbox)
        while self._inbox:
            batch = [self._inbox.popleft() for _ in range(min(len(self._inbox), AT_ONCE))]
            try:
                self._book.note(batch)
            except GuardError:
                self._inbox.extendleft(reversed(batch))
                raise
        return came

    def step(self, now: float) -> float:
        """Tells the next thing that is due; returns how many seconds to wait for the one after."""
        self._expire(now)
        message = self._book.message()
        if message is None:
            self._compose(now)
            message = self._book.message()
        self._open = _notices(message)
        if message is None:
            return IDLE
        # A due date beyond every pause was written before the clock was put back.
        if now < message.due <= now + LONGEST_WAIT:
            return min(message.due - now, IDLE)
        return self._send(message, now)

    def suspects(self, now: float) -> list[Network]:
        """Whose ban was told and may be over without a word: some of them, in turn."""
        found = self._book.suspects(self._turn, now, SUSPECTS)
        self._turn = max(map(str, found), default="") if len(found) >= SUSPECTS else ""
        return found

    def row(self) -> dict[str, Any]:
        """What `guard status` shows. Costs nothing."""
        return {
            "name": self.name,
            "to": self._receiver.place,
            "queued": self._book.waiting + self._open + len(self._inbox),
            "sent": self._sent,
            "failed": self._failed,
            "expired": self._expired,
            "lost": self._full,
            "error": self._error,
        }

    def close(self) -> None:
        """Lets go of the book."""
        self._book.close()

    def _take(self, happened: list[Any]) -> None:
        room = INBOX - len(self._inbox)
        self._full += max(0, len(happened) - room)
        self._inbox.extend(happened[: max(0, room)])

    def _compose(self, now: float) -> None:
        if self._settings.digest:
            self._compose_digest(self._settings.digest, now)
        elif self._book.waiting:
            self._compose_in_pace(now)

    def _compose_digest(self, every: float, now: float) -> None:
        since = self._book.collecting(now)
        if now < since + every:
            return
        if self._book.anything():
            id_ = new_id(now)
            pace = self._book.pace()
            self._book.compose_all(id_, self._renderer(id_), pace, now, since=since)
        else:
            self._book.collect_anew(now)

    def _compose_in_pace(self, now: float) -> None:
        settings = self._settings
        assert not isinstance(settings, MailNotify)
        before = self._book.pace()
        choice, pace = before.choose(self._book.waiting, settings.burst, settings.interval, now)
        id_ = new_id(now)
        if choice == "one":
            self._book.compose_one(id_, self._renderer(id_), pace, now)
        elif choice == "all":
            self._book.compose_all(id_, self._renderer(id_), pace, now)
        elif pace != before:
            self._book.keep_pace(pace)

    def _renderer(self, id_: str) -> Any:
        def render(what: Notice | Digest) -> bytes:
            return self._receiver.body(Occasion(id=id_, host=self._host, what=what))

        return render

    def _send(self, message: Message, now: float) -> float:
        try:
            self._receiver.deliver(message.id, message.body, now)
        except NotNow as error:
            return self._failed_once(message, error, now)
        except Never as error:
            self._say(str(error))
            log.error("notify %s: %s; %s", self.name, error, _gave_up(message.notices))
            self._failed += 1
        else:
            if self._error:
                log.info("notify %s: told again", self.name)
            self._error = ""
            self._sent += 1
        self._book.done(message)
        return 0.0

    def _failed_once(self, message: Message, error: NotNow, now: float) -> float:
        self._say(str(error))
        if not message.created - LONGEST_WAIT <= now < message.created + self._settings.expire:
            log.error("notify %s: tried for too long; %s", self.name, _gave_up(message.notices))
            self._expired += message.notices
            self._book.done(message)
            return 0.0
        wait = min(max(pause(message.attempts), error.wait), LONGEST_WAIT)
        self._book.defer(message, now + wait)
        return min(wait, IDLE)

    def _expire(self, now: float) -> None:
        """Digests are made of what is as old as they are long, and a little more."""
        if not self._book.waiting:
            return
        gone = self._book.expire(now - self._settings.expire - self._settings.digest)
        if gone:
            log.error("notify %s: waited for too long; %s", self.name, _gave_up(gone))
            self._expired += gone

    def _say(self, text: str) -> None:
        """An error, in the log when it is another than the last."""
        if text != self._error:
            log.warning("notify %s: %s", self.name, text)
        self._error = text


def _notices(message: Message | None) -> int:
    return message.notices if message else 0


def _gave_up(notices: int) -> str:
    return f"gave up {notices} notice{'s' if notices != 1 else ''}"
