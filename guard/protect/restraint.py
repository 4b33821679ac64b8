"""What speaks against a ban that a jail wants, beyond the lists of the protected.

    the jail's ignoreself > its ignorecommand > good standing > brakes

An address in good standing (it authenticated, had mail accepted, or takes ours, within
`[protect] good_standing`) is spared by a jail whose evidence is weak, and for any other has to fill
the jail's window MORE times. Asked once per ban, not per rejection.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf

from guard.events import Good, Offence, Overflow, Window
from guard.lib.durations import format_duration
from guard.lib.networks import Network
from guard.protect import own
from guard.protect.brakes import Brakes
from guard.protect.ignore import IgnoreCommand
from guard.protect.settings import ProtectSettings
from guard.roles import Counters, Standing

log = logging.getLogger("guard.protect")

MORE = 3
DAY = 86400.0
_FRESH = 1.0  # seconds for which this machine's addresses are believed
SUFFIX = "/standing"  # after a jail's name: the windows in which full windows are counted


def known(good: Good, now: float) -> bool:
    """Whether this is a sign; a store that is gone takes everybody for good, until long after."""
    return good.time < now + DAY


def said(good: Good, now: float) -> str:
    """`mail 2d ago`; without the time where the store does not know it."""
    if not known(good, now):
        return good.how
    return f"{good.how} {format_duration(now - good.time)} ago"


class Restraint:
    """Holds jails back. `commands` are the jails' ignorecommands, by jail.

    `noticed` is told the addresses of each batch, and each that a jail wants to ban, while `heeds`
    says that it takes heed of any.
    `spared` counts what was held back.
    `here` reads this machine's addresses, for jails that ignore them, while `own` is off.
    Raises Unavailable as the store does.
    """

    def __init__(
        self,
        settings: ProtectSettings,
        standing: Standing,
        counters: Counters,
        commands: Mapping[str, str] | None = None,
        *,
        noticed: Callable[[Network], None] = lambda address: None,
        heeds: Callable[[], bool] = lambda: True,
        here: Callable[[], own.Here] = own.Here,
    ) -> None:
        self._here = here
        self._mine: tuple[float, list[Network]] = (inf, [])
        self._settings, self._standing, self._counters = settings, standing, counters
        self._commands = {jail: IgnoreCommand(line) for jail, line in (commands or {}).items()}
        self.brakes = Brakes(settings.bans_per_minute, settings.halt)
        self._noticed, self._heeds = noticed, heeds
        self.spared: Counter[str] = Counter()

    def configure(self, settings: ProtectSettings) -> None:
        """Takes up new settings; what is counted and stopped stays."""
        self._settings = settings
        self.brakes.per_minute, self.brakes.halt = settings.bans_per_minute, settings.halt

    def meet(self, networks: Iterable[Network | None]) -> None:
        """Tells whoever asks for names of these, None left out; costs nothing where nobody does.

        Called for each batch, and again for whom a jail wants to ban: when they were first heard
        of, the DNS may not have answered.
        """
        if self._heeds():
            for network in networks:
                if network is not None:
                    self._noticed(network)

    def heard(self, goods: Sequence[Good]) -> None:
        """Remembers signs of good standing."""
        if goods and self._settings.good_standing:
            self._standing.note(goods)

    def goods(self, networks: Sequence[Network], time: float) -> dict[Network, Good]:
        """Those of `networks` that are in good standing at `time`."""
        if not self._settings.good_standing:
            return {}
        since = time - self._settings.good_standing
        found = self._standing.known(networks)
        return {good.network: good for good in found if good is not None and good.time > since}

    def spares(
        self,
        overflow: Overflow,
        good: Good | None,
        *,
        window: Window,
        weak: bool,
        ignoreself: bool = False,
    ) -> str | None:
        """Why the ban that `overflow` means is not made, or None when it is."""
        jail, network, time, _ = overflow
        if ignoreself and not self._settings.own and self._is_own(network, time):
            return self._counted("ignoreself")
        command = self._commands.get(jail)
        if command is not None and command.ignores(network, time):
            return self._counted("ignorecommand")
        if good is not None:
            if weak:
                return self._counted(f"good standing: {said(good, time)}")
            if not self._enough(overflow, window):
                return self._counted(f"good standing: {said(good, time)}, needs more")
        # Whoever is only taken for good because the store is gone says nothing about the jail.
        ruling = self.brakes.ask(jail, time, good=good is not None and known(good, time))
        if ruling.alarm:
            log.error("%s", ruling.alarm)
        return None if ruling.ban else self._counted("the jail is stopped")

    def _is_own(self, network: Network, time: float) -> bool:
        """Whether an address of this machine is in `network`."""
        since, mine = self._mine
        if not since <= time < since + _FRESH:
            # Asking the kernel takes milliseconds, and a thousand offenders may come at once.
            mine = [network for network, _ in own.decide(own.Here(self._here().addresses))]
            self._mine = time, mine
        return any(network.overlaps(address) for address in mine)

    def _counted(self, why: str) -> str:
        self.spared[why.partition(":")[0]] += 1
        return why

    def _enough(self, overflow: Overflow, window: Window) -> bool:
        """Whether this is the MORE-th full window in a row."""
        name = overflow.jail + SUFFIX
        offence = Offence(name, overflow.network, overflow.time)
        return bool(self._counters.count([offence], {name: Window(MORE, MORE * window.findtime)}))
