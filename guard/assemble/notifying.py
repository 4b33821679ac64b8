"""Who is told of bans: `[[notify]]` to notifiers, receivers and their books."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from guard.config import Settings
from guard.lib import clock
from guard.mail.spool import FileSpool
from guard.reporters.notify.book import SCHEMA, VERSION, Book
from guard.reporters.notify.maildigest import Mailer
from guard.reporters.notify.notifier import Notifier
from guard.reporters.notify.office import Office
from guard.reporters.notify.receivers import Poster, Receiver
from guard.reporters.notify.settings import MailNotify, NotifySettings, name_of
from guard.roles import Forbidden, Refused
from guard.stores.database import Database, open_file

log = logging.getLogger("guard.notify")


def receivers(settings: Settings) -> list[tuple[NotifySettings, Receiver]]:
    """Everybody who is told, in the order of the configuration."""
    return [(item, _receiver(settings, item)) for item in settings.notify]


def host_of(item: NotifySettings) -> str:
    """Which Guard tells it; empty where that is left out."""
    return socket.gethostname() if item.host is None else item.host


def office(settings: Settings, stack: ExitStack) -> Office:
    """All notifiers, not yet running; `stack` ends them. Raises Forbidden or Refused."""
    notifiers = []
    for item, receiver in receivers(settings):
        path = settings.state.dir / "notify" / f"{name_of(item)}.db"
        book = Book(
            _opened(path),
            ("ban", "unban") if isinstance(item, MailNotify) else item.on,
        )
        notifiers.append(Notifier(item, receiver, book, host_of(item)))
    made = Office(notifiers, clock.now)
    stack.callback(made.stop)
    return made


def _opened(path: Path) -> Database:
    """The file, made anew where it is damaged: what was not told yet is no reason not to ban.

    Raises Forbidden.
    """
    try:
        return open_file(path, SCHEMA, VERSION)
    except Forbidden:
        raise
    except Refused as error:
        aside = path.with_suffix(".broken")
        log.error("notify: %s; it is now %s, and what was not told yet is lost", error, aside)
        path.replace(aside)
        for companion in ("-wal", "-shm"):
            path.with_name(path.name + companion).unlink(missing_ok=True)
        return open_file(path, SCHEMA, VERSION)


def _receiver(settings: Settings, item: NotifySettings) -> Receiver:
    if not isinstance(item, MailNotify):
        return Poster(item)
    named = [settings.delivery.hostname, *(listener.hostname for listener in settings.listener)]
    hostname = next(filter(None, named), socket.gethostname())
    return Mailer(item, hostname, partial(_spool, settings.state.dir / "spool"))


def _spool(folder: Path, id_: str, sender: str, to: Sequence[str], message: bytes) -> None:
    """Puts a message where the process that delivers finds it. Raises GuardError."""
    spool = FileSpool(folder)
    spool.open()
    incoming = spool.create(sender, to, {}, id_=id_)
    try:
        incoming.write(message)
        incoming.commit()
    finally:
        incoming.abort()
