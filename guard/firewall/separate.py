"""The firewall in a process of its own, so that this one can give its privileges up.

`separate` starts the process (warden.py) and hands back something that is a Firewall here and works
there. Call it while the process still has its privileges and only one thread, then
`privileges.keep_only`. What comes back is read as strictly as what goes there.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from guard.events import Block
from guard.firewall import wire
from guard.firewall.asking import Asking
from guard.firewall.choose import Choice, choose
from guard.firewall.dryrun import DryRun
from guard.firewall.groups import NO_GROUPS, Groups
from guard.firewall.privileges import FIREWALL, pass_on
from guard.firewall.settings import FirewallSettings
from guard.firewall.wire import BadMessage, Verb
from guard.lib.networks import Network
from guard.roles import Refused, Unavailable

_GRACE = 10.0


def separate(settings: FirewallSettings, groups: Groups = NO_GROUPS) -> Choice:
    """As `choose`, in another process; a dry run needs none and stays here.

    Raises Refused when the back end that is named does not work here.
    """
    if settings.backend == "dry-run":
        return choose(settings)
    firewall = Separated(settings, groups)
    if firewall.name == DryRun.name:
        firewall.close()
        return Choice(DryRun(), firewall.reason)
    return Choice(firewall, firewall.reason)


class _Part:
    """The sets of group number `group`, 0 being all that is in none."""

    def __init__(self, asking: Asking, group: int) -> None:
        self._asking, self._group = asking, group

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        if len(block) == 1 and not release:
            self._asking.block(block[0], now, self._group)
        else:
            self._asking.ask(Verb.APPLY, wire.change(now, block, release), self._group)

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        self._asking.ask(Verb.REPLACE, wire.change(now, blocks, []), self._group)

    def blocked(self, now: float) -> dict[Network, float | None]:
        body = self._asking.ask(Verb.BLOCKED, wire.change(now, [], []), self._group)
        try:
            return dict(wire.read_change(body).block)
        except BadMessage as error:
            raise Unavailable(f"the firewall's process answers nonsense: {error}") from error


class Separated:
    """A firewall in another process. It has the abilities of the back end that runs there."""

    def __init__(self, settings: FirewallSettings, groups: Groups = NO_GROUPS) -> None:
        """Starts the process and waits until its firewall is open."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pass_on(FIREWALL)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "guard.firewall.warden"),
                    *(str(theirs.fileno()), json.dumps(asdict(settings)), json.dumps(groups)),
                ],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self._socket, self._asking = ours, Asking(ours)
        self._itself = _Part(self._asking, 0)
        try:
            told: dict[str, Any] = json.loads(self._asking.hello())
        except (Refused, Unavailable):
            self._end()
            raise
        self.name, self.reason = str(told["name"]), str(told["reason"])
        self._learn(told)

    @property
    def pid(self) -> int:
        """The process that was started; a child of it does the work."""
        return self._process.pid

    def open(self) -> None:
        """The role's."""
        self.ask(Verb.OPEN)

    def apply(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """The role's."""
        self._itself.apply(block, release, now)

    def post(self, block: Sequence[Block], release: Sequence[Network], now: float) -> None:
        """As `apply`, and returns at once: `settle` hears what came of it."""
        self._asking.post(Verb.APPLY, wire.change(now, block, release))

    def settle(self) -> None:
        """Waits until all that was posted is done. Raises the first failure of it."""
        self._asking.settle()

    def replace(self, blocks: Iterable[Block], now: float) -> None:
        """The role's."""
        self._itself.replace(blocks, now)

    def blocked(self, now: float) -> dict[Network, float | None]:
        """The role's."""
        return self._itself.blocked(now)

    def tidy(self) -> None:
        """Removes what there is no use for any more, of another back end too."""
        self.ask(Verb.TIDY)

    def close(self, *, clear: bool = False) -> None:
        """The role's; the process ends. Raises Unavailable when it could not clear."""
        if self._socket.fileno() < 0:
            return
        try:
            if clear:
                self.ask(Verb.CLEAR)
        finally:
            self._end()

    def _learn(self, told: dict[str, Any]) -> None:
        """Takes on the abilities of the back end; the mirror asks for them by type."""
        able: dict[str, dict[str, Any]] = {
            "expire": {"expire": self._expire},
            "faults": {"faults": self._faults, "warnings": self._warnings},
            "disturbed": {"disturbed": self._disturbed},
            "dropped": {"dropped": self._dropped},
            "longest": {"longest": told["longest"]},
            "glance": {"glance": told["glance"]},
            "groups": {
                "groups": tuple(told["groups"]),
                "group": {n: _Part(self._asking, i) for i, n in enumerate(told["groups"], 1)}.get,
            },
        }
        for name in told["able"]:
            for attribute, value in able[name].items():
                setattr(self, attribute, value)

    def _expire(self, now: float) -> None:
        self.ask(Verb.EXPIRE, wire.change(now, [], []))

    def _faults(self) -> list[str]:
        return [str(fault) for fault in json.loads(self.ask(Verb.FAULTS))]

    def _warnings(self) -> list[str]:
        return [str(warning) for warning in json.loads(self.ask(Verb.WARNINGS))]

    def _disturbed(self) -> bool:
        return bool(json.loads(self.ask(Verb.DISTURBED)))

    def _dropped(self) -> dict[str, tuple[int, int]]:
        told = json.loads(self.ask(Verb.DROPPED))
        return {str(name): (int(packets), int(size)) for name, (packets, size) in told.items()}

    def ask(self, verb: Verb, body: bytes = b"", group: int = 0) -> bytes:
        """The other process's answer. Raises what the back end raised there."""
        return self._asking.ask(verb, body, group)

    def _end(self) -> None:
        self._socket.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
