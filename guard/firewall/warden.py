"""The small process that holds CAP_NET_ADMIN, and nothing else of the machine.

It reads packets from one socket, whose other end has the process that reads strangers' bytes; each
is checked by wire.py, so that all that process can ever do is block and release networks. It ends
when that socket does, and what is blocked stays. When it dies of anything else it is started again
by its own parent, the keeper, which does nothing besides; when the keeper dies, its child becomes
the keeper of another, which goes on where it was. Never opens a file or another socket that a
packet names.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from guard.events import Block
from guard.firewall import leftovers, privileges, wire
from guard.firewall.abilities import (
    Capped,
    Checked,
    Counting,
    Glanced,
    Grouping,
    Holding,
    Hosting,
    Untimed,
    Watched,
)
from guard.firewall.choose import Choice, choose
from guard.firewall.groups import NO_GROUPS, Groups, is_group
from guard.firewall.privileges import FIREWALL, keep_only
from guard.firewall.settings import FirewallSettings
from guard.firewall.sole import Marks
from guard.firewall.wire import BadMessage, Verb
from guard.lib import logs
from guard.lib.bulk import bulk, collect_seldom
from guard.roles import Firewall, Forbidden, Refused, Unavailable

_log = logging.getLogger("guard.firewall.warden")
_PAUSE, _LONGEST_PAUSE, _STEADY = 0.2, 5.0, 10.0
_UNOPENED = 2  # the status of a child that cannot open the firewall
_ORPHANED = signal.SIGUSR1
_VALUES = 10_000  # as in the daemon
ABILITIES: dict[str, Any] = {
    "expire": Untimed,
    "longest": Capped,
    "faults": Checked,
    "glance": Glanced,
    "disturbed": Watched,
    "dropped": Counting,
    "groups": Grouping,
}


def main() -> None:
    """Arguments: the number of the socket, the settings and the names of groups as JSON."""
    logs.set_up(verbose=False, journal="JOURNAL_STREAM" in os.environ)
    # An operator's Ctrl-C and a service manager's stop reach the other process, which then closes
    # the socket in its own time.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        settings = FirewallSettings(**_tuples(json.loads(sys.argv[2])))
        groups = _groups(json.loads(sys.argv[3]))
        if settings.backend != "exec":
            # An operator's own program may need more, and knows what.
            keep_only(FIREWALL)
        keeper = _Keeper(connection, settings, groups)
        if (status := keeper.begin()) not in (0, _UNOPENED):
            keeper.go_on(status)


class _Keeper:
    """Has a child serve, and another when that dies."""

    def __init__(
        self, connection: socket.socket, settings: FirewallSettings, groups: Groups
    ) -> None:
        self._connection, self._settings, self._groups = connection, settings, groups

    def begin(self) -> int:
        """Serves in a process of its own; how that ended: 0 in order, below 0 by a signal."""
        keeper, child = os.getpid(), os.fork()
        if child == 0:
            try:
                self._follow(keeper)
                opened = serve(self._connection, self._settings, self._groups)
            except BaseException:  # whatever it was, the parent must see a status and no return
                _log.exception("the firewall's process failed")
                os._exit(1)
            os._exit(0 if opened else _UNOPENED)
        return _ended(child)

    def go_on(self, status: int) -> None:
        """Begins again, after a child that ended so, until one ends in order."""
        pause = _PAUSE
        while status != 0:
            _log.error("the firewall's process died (%d); starting it again", status)
            time.sleep(pause)
            began = time.monotonic()
            status = self.begin()
            lasted = time.monotonic() - began > _STEADY
            pause = _PAUSE if lasted else min(2 * pause, _LONGEST_PAUSE)

    def _follow(self, keeper: int) -> None:
        """Hears of the death of the process `keeper`, the parent of this one, from now on."""
        signal.signal(_ORPHANED, lambda *_: self._succeed(keeper))
        privileges.told_of_parents_death(_ORPHANED)
        self._succeed(keeper)

    def _succeed(self, keeper: int) -> None:
        """Takes the place of a keeper that died. Who goes on where this was called is a child."""
        if os.getppid() == keeper:
            return
        _log.error("the parent of the firewall's process died; another takes its place")
        own, child = os.getpid(), os.fork()
        if child == 0:
            self._follow(own)
            return
        # Locks and sockets are the child's now.
        kept = self._connection.fileno()
        os.closerange(3, kept)
        os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
        self.go_on(_ended(child))
        os._exit(0)


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serve(
    connection: socket.socket, settings: FirewallSettings, groups: Groups = NO_GROUPS
) -> bool:
    """Opens the firewall, says which, and answers until the other end closes.

    False when the firewall cannot be opened.
    """
    marks = Marks()  # held until this process ends
    try:
        choice = choose(settings, groups, marks)
    except (Refused, Unavailable) as error:
        verb = Verb.FORBIDDEN if isinstance(error, Forbidden) else _failed(error)[0]
        _send(connection, 0, verb, str(error).encode())
        return False
    try:
        _converse(connection, choice)
    except OSError as error:
        # The other end is gone, in the middle of a message: as good an end as any.
        _log.debug("the firewall's process is not needed any more: %s", error)
    choice.firewall.close()
    return True


def _converse(connection: socket.socket, choice: Choice) -> None:
    _send(connection, 0, Verb.HELLO, _introduction(choice))
    collect_seldom(_VALUES)
    inbox, buffer = wire.Inbox(), bytearray(wire.PACKET + 1)
    while size := connection.recv_into(buffer):
        single = wire.read_single(buffer, size)
        if single is not None:
            failure = block(choice.firewall, single)
            if failure is None:
                connection.send(wire.done(single.number))
            else:
                _send(connection, single.number, *failure)
            continue
        try:
            packet = wire.packet(bytes(memoryview(buffer)[:size]))
            body = inbox.put(packet)
        except BadMessage as error:
            _log.error("the firewall's process was sent nonsense: %s", error)
            continue
        if body is not None:
            said = answer(choice.firewall, packet.verb, body, packet.group)
            _send(connection, packet.number, *said)


def block(firewall: Firewall, single: wire.Single) -> tuple[Verb, bytes] | None:
    """Blocks one network; what to answer when that failed."""
    try:
        part = firewall if single.group == 0 else _part(firewall, single.group)
        part.apply((single.block,), (), single.now)
    except (Unavailable, Refused, BadMessage) as error:
        return _failed(error)
    return None


def answer(firewall: Firewall, verb: Verb, body: bytes, group: int = 0) -> tuple[Verb, bytes]:
    """Does what is asked; every failure is an answer too."""
    try:
        if verb in _LAYS:
            return Verb.DONE, _LAYS[verb](_part(firewall, group), body)
        if verb in _DOES:
            return Verb.DONE, _DOES[verb](firewall, body)
        return Verb.REFUSED, f"{verb.name} is not for the firewall's process".encode()
    except (Unavailable, Refused, BadMessage) as error:
        return _failed(error)


def _failed(error: Exception) -> tuple[Verb, bytes]:
    verb = Verb.UNAVAILABLE if isinstance(error, Unavailable) else Verb.REFUSED
    return verb, str(error).encode()


def _part(firewall: Firewall, group: int) -> Holding:
    """The firewall itself, or the sets of the group of that number."""
    if group == 0:
        return firewall
    if not isinstance(firewall, Grouping) or group > len(firewall.groups):
        raise BadMessage(f"there is no group {group}")
    return firewall.group(firewall.groups[group - 1])


def _apply(firewall: Holding, body: bytes) -> bytes:
    hosts = wire.read_hosts(body)
    if hosts is not None and isinstance(firewall, Hosting) and firewall.block_hosts(*hosts):
        return b""
    now, block, release = wire.read_change(body)
    firewall.apply(list(block), release, now)
    return b""


def _replace(firewall: Holding, body: bytes) -> bytes:
    now, block, release = wire.read_change(body)
    if release:
        raise BadMessage("a replacement that releases")
    with bulk():
        firewall.replace(block, now)
    return b""


def _blocked(firewall: Holding, body: bytes) -> bytes:
    now, _, _ = wire.read_change(body)
    with bulk():
        return wire.change(now, map(Block._make, firewall.blocked(now).items()), [])


def _expire(firewall: Firewall, body: bytes) -> bytes:
    now, _, _ = wire.read_change(body)
    _able(firewall, Untimed).expire(now)
    return b""


def _tidy(firewall: Firewall) -> None:
    if isinstance(firewall, Grouping):
        firewall.tidy()
    leftovers.remove(firewall.name)


def _dropped(firewall: Firewall, body: bytes) -> bytes:
    return json.dumps(_able(firewall, Counting).dropped()).encode()


def _does(call: Callable[[Firewall], object]) -> Callable[[Firewall, bytes], bytes]:
    """For verbs that take nothing: the result as JSON."""
    return lambda firewall, body: json.dumps(call(firewall)).encode()


def _able(firewall: Firewall, ability: Any) -> Any:
    if not isinstance(firewall, ability):
        raise Refused(f"{firewall.name} cannot do this")
    return firewall


_LAYS: dict[Verb, Callable[[Holding, bytes], bytes]] = {
    Verb.APPLY: _apply,
    Verb.REPLACE: _replace,
    Verb.BLOCKED: _blocked,
}
_DOES: dict[Verb, Callable[[Firewall, bytes], bytes]] = {
    Verb.OPEN: _does(lambda firewall: firewall.open()),
    Verb.TIDY: _does(_tidy),
    Verb.EXPIRE: _expire,
    Verb.FAULTS: _does(lambda firewall: _able(firewall, Checked).faults()),
    Verb.WARNINGS: _does(lambda firewall: _able(firewall, Checked).warnings()),
    Verb.DISTURBED: _does(lambda firewall: _able(firewall, Watched).disturbed()),
    Verb.DROPPED: _dropped,
    Verb.CLEAR: _does(lambda firewall: firewall.close(clear=True)),
}


def _introduction(choice: Choice) -> bytes:
    firewall, reason = choice
    able = [name for name, ability in ABILITIES.items() if isinstance(firewall, ability)]
    longest = firewall.longest if isinstance(firewall, Capped) else None
    glance = firewall.glance if isinstance(firewall, Glanced) else None
    groups = firewall.groups if isinstance(firewall, Grouping) else ()
    told = {
        "name": firewall.name,
        "reason": reason,
        "able": able,
        "longest": longest,
        "glance": glance,
        "groups": groups,
    }
    return json.dumps(told).encode()


def _send(connection: socket.socket, number: int, verb: Verb, body: bytes) -> None:
    for packet in wire.packets(number, verb, body):
        connection.send(packet)


def _tuples(told: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}


def _groups(told: list[list[Any]]) -> Groups:
    """The names of groups, each of which becomes part of a set's name."""
    groups = Groups(*(tuple(map(str, names)) for names in told))
    if not all(map(is_group, groups.names)):
        raise SystemExit(f"no names of groups: {groups.names!r}")
    return groups


if __name__ == "__main__":
    main()
