"""What parts raise on purpose: the text of each is for the operator, in one line."""

from __future__ import annotations

from collections.abc import Sequence

from guard.lib.faults import Fault


class GuardError(Exception):
    """What Guard raises on purpose. Its text is for the operator, in one line."""


class Unavailable(GuardError):
    """A service that is needed (Redis, netlink, a feed's server) does not answer now."""


class Lost(Unavailable):
    """It is gone, and this process may not bring it back: only a new start of Guard can."""


class Refused(GuardError):
    """It does not work like this and will not by waiting: privileges, versions, bad data."""


class Forbidden(Refused):
    """The privileges of this process do not suffice."""


class ConfigError(GuardError):
    """A configuration that cannot be used; `faults` has every reason."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


class BadInput(GuardError):
    """Something that the operator gave cannot be read, with the place."""
