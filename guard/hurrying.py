"""Between pipeline and mirror: the kernel is told of bans that the ledger does not have yet."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from guard.events import Claim
from guard.lib.clock import Clock
from guard.parts import Mirroring
from guard.roles import GuardError

log = logging.getLogger("guard.daemon")


class Hurrying:
    """Has the mirror begin with bans before they are in the ledger.

    When it cannot, the step that follows lays everything anew, and says what is wrong.
    """

    def __init__(self, mirror: Mirroring, clock: Clock) -> None:
        self._mirror, self._clock = mirror, clock

    def begin(self, claims: Sequence[Claim]) -> None:
        """The mirror's `hurry`."""
        self._try(partial(self._mirror.hurry, claims, self._clock()))

    def wait(self) -> None:
        """The mirror's `hurried`."""
        self._try(self._mirror.hurried)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except GuardError as error:
            log.debug("the kernel did not follow at once: %s", error)
