"""How many rejections are enough: the jails' own bar, and a lower one for suspects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guard.events import JOIN, Offence, Part, Suspicion, Window
from guard.roles import Suspects


class Bars:
    """The bars of `windows`; each of `suspects` may lower one for whom he knows as an offender."""

    def __init__(self, suspects: Sequence[Suspects], windows: Mapping[str, Window]) -> None:
        self._suspects, self._windows = suspects, windows

    def parts(self, offences: list[Offence]) -> list[Part]:
        """What is counted at once: everybody by the jails' windows, but for the suspects."""
        if not self._suspects:
            return [Part(offences, self._windows)] if offences else []
        rest: list[Offence] = []
        lowered: dict[int, list[Offence]] = {}
        for several in offences:
            alone = [several._replace(jail=jail) for jail in several.jail.split(JOIN)]
            suspicions = [(offence, self.suspicion(offence)) for offence in alone]
            if not any(found for _, found in suspicions):
                rest.append(several)
                continue
            for offence, found in suspicions:
                (rest if found is None else lowered.setdefault(found.maxretry, [])).append(offence)
        due = [Part(rest, self._windows)] if rest else []
        for maxretry, some in lowered.items():
            windows = {o.jail: self._windows[o.jail]._replace(maxretry=maxretry) for o in some}
            due.append(Part(some, windows))
        return due

    def suspicion(self, offence: Offence) -> Suspicion | None:
        """What lowers the bar most for this offence."""
        best, bar = None, self._windows[offence.jail].maxretry
        for suspects in self._suspects:
            found = suspects.suspicion(offence, bar)
            if found is not None and found.maxretry < bar:
                best, bar = found, found.maxretry
        return best
