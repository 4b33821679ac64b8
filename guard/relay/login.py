"""What somebody who says who he is has shown, as one value for whoever knows the passwords."""

from __future__ import annotations

from dataclasses import dataclass, field

from guard.lib.networks import Network


@dataclass(frozen=True, slots=True)
class Login:
    """One attempt to authenticate. Its text never shows the password.

    `listener` is the local `ip:port` of the connection, as in Asked.
    """

    user: str
    password: str = field(repr=False)
    peer: Network
    port: int
    listener: str
    ehlo: str = ""
