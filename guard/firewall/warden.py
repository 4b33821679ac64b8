"""The small process that holds CAP_NET_ADMIN, and nothing else of the machine.

It reads packets from one socket, whose other end has the process that reads strangers' bytes; each
is checked by wire.py, so that all that process can ever do is block and release networks. It ends
when that socket does, and what is blocked stays. When it dies of anything else it is started again
by its own parent, which does nothing besides. Never opens a file or another socket that a packet
names.
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
from guard.firewall import leftovers, wire
from guard.firewall.abilities import (
    Capped,
    Checked,
    Counting,
    Grouping,
    Holding,
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
_PAUSE = 0.2
_VALUES = 10_000  # as in the daemon
ABILITIES: dict[str, Any] = {
    "expire": Untimed,
    "longest": Capped,
    "faults": Checked,
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
        while (status := _work(connection, settings, groups)) != 0:
            _log.error("the firewall's process died (status %d); starting it again", status)
            time.sleep(_PAUSE)


def _work(connection: socket.socket, settings: FirewallSettings, groups: Groups) -> int:
    """Serves in a process of its own; returns how that ended, 0 for in order."""
    child = os.fork()
    if child == 0:
        try:
            serve(connection, settings, groups)
        except BaseException:  # whatever it was, the parent must see a status and no second return
            _log.exception("the firewall's process failed")
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status


def serve(
    connection: socket.socket, settings: FirewallSettings, groups: Groups = NO_GROUPS
) -> None:
    """Opens the firewall, says which, and answers until the other end closes."""
    marks = Marks()  # held until this process ends
    try:
        choice = choose(settings, groups, marks)
    except (Refused, Unavailable) as error:
        verb = Verb.FORBIDDEN if isinstance(error, Forbidden) else _failed(error)[0]
        _send(connection, 0, verb, str(error).encode())
        return
    try:
        _converse(connection, choice)
    except OSError as error:
        # The other end is gone, in the middle of a message: as good an end as any.
        _log.debug("the firewall's process is not needed any more: %s", error)
    choice.firewall.close()


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
    groups = firewall.groups if isinstance(firewall, Grouping) else ()
    told = {
        "name": firewall.name,
        "reason": reason,
        "able": able,
        "longest": longest,
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
