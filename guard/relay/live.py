"""Relay policy and passwords of one listener, replaceable while its sessions go on.

`prepare` reads all files and changes nothing; what it returns puts them in force, at once, for
sessions that are open already too: their next RCPT or AUTH meets the new rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from guard.lib.faults import Fault
from guard.lib.networks import Network
from guard.relay.build import relay_policy
from guard.relay.calls import LIMIT, Calls
from guard.relay.credentials import HookAuthenticator, PasswordFile, load_credentials
from guard.relay.exposed import changeable, readable
from guard.relay.hook import Hook, load_hook
from guard.relay.hooked import HookPolicy
from guard.relay.login import Login
from guard.relay.policy import StaticPolicy
from guard.relay.traps import unreachable, warnings
from guard.relay.verdict import Asked, RelayPolicy, Verdict
from guard.roles import ConfigError


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a `[[listener]]` names. `file` and `key` are the place of its `relay_hosts`.

    `encrypts` says whether it has TLS, without which nobody is asked for a password.
    """

    relay_hosts: Sequence[Network] = ()
    listener_domains: Sequence[Path] = ()
    policy: Path | None = None
    policy_timeout: float = LIMIT
    credentials: Path | None = None
    encrypts: bool = True
    file: str = ""
    key: str = "relay_hosts"

    @property
    def where(self) -> str:
        """`file:key` of `relay_hosts`."""
        return f"{self.file}:{self.key}" if self.file else self.key

    @property
    def files(self) -> list[Path]:
        """The files that the rules stand in."""
        return [*self.listener_domains, *filter(None, (self.policy, self.credentials))]


_Authenticator = PasswordFile | HookAuthenticator


@dataclass(frozen=True, slots=True)
class _Parts:
    rules: Rules
    policy: StaticPolicy | HookPolicy
    authenticator: _Authenticator | None


class Live:
    """What the rules of one listener say now. Raises ConfigError with all faults at the start."""

    def __init__(self, rules: Rules) -> None:
        self._calls = Calls(rules.policy_timeout)
        self._parts = self._read(rules)
        self.policy: RelayPolicy = _Policy(self)

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._parts.rules

    @property
    def current(self) -> StaticPolicy | HookPolicy:
        """The policy in force."""
        return self._parts.policy

    @property
    def authenticates(self) -> bool:
        """Whether there is anybody to authenticate."""
        return self._parts.authenticator is not None

    async def check(self, login: Login) -> bool:
        """An Authenticator's answer by the credentials or hook in force. Raises Unavailable."""
        authenticator = self._parts.authenticator
        return authenticator is not None and await authenticator.check(login)

    def prepare(self, rules: Rules) -> Callable[[], None]:
        """Reads the files of `rules`; the answer, called, puts them in force.

        Raises ConfigError. May be called in a thread; the answer only where the sessions run.
        """
        new = self._read(rules)

        def apply() -> None:
            old, self._parts = self._parts, new
            self._calls.limit = rules.policy_timeout
            if old.authenticator:
                old.authenticator.close()

        return apply

    def close(self) -> None:
        """Lets go of threads."""
        self._calls.close()
        if self._parts.authenticator:
            self._parts.authenticator.close()

    def _read(self, rules: Rules) -> _Parts:
        faults: list[Fault] = []
        hook = users = policy = None
        try:
            hook = load_hook(rules.policy, self._calls) if rules.policy else None
        except ConfigError as error:
            faults += error.faults
        try:
            policy = relay_policy(rules.relay_hosts, rules.listener_domains, rules.where, hook)
        except ConfigError as error:
            faults += error.faults
        try:
            users = load_credentials(rules.credentials) if rules.credentials else None
        except ConfigError as error:
            faults += error.faults
        if rules.credentials and hook and hook.has("check_password"):
            message = "there are credentials and check_password of policy.py; one has to go"
            faults.append(Fault(str(rules.credentials), "", message))
        if faults or policy is None:
            raise ConfigError(faults)
        return _Parts(rules, policy, _authenticator(users, hook))


def _authenticator(users: dict[str, str] | None, hook: Hook | None) -> _Authenticator | None:
    if users is not None:
        return PasswordFile(users)
    return HookAuthenticator(hook) if hook and hook.has("check_password") else None


def examine(
    rules: Rules, ports: Collection[int] = (), elsewhere: Collection[Path] = ()
) -> list[Fault]:
    """Reads all files of `rules` and returns warnings. Raises ConfigError with the faults.

    `ports` are those of all listeners, if known; `elsewhere` are files that a listener with
    passwords reads too.
    """
    live = Live(rules)
    try:
        domains, authenticates = live.current.domains, live.authenticates
    finally:
        live.close()
    found = warnings(domains, rules.relay_hosts, rules.file, rules.key)
    also = {str(file) for file in elsewhere}
    found += unreachable(domains, authenticates=authenticates, ports=ports, elsewhere=also)
    if authenticates and not rules.encrypts:
        message = "nobody is asked for a password: there is no tls_certificate"
        found.append(Fault(str(rules.credentials or rules.policy), "", message))
    for file in rules.files:
        found += changeable(file)
    return found + (readable(rules.credentials) if rules.credentials else [])


class _Policy:
    """The policy in force, or a session's own view of it."""

    __slots__ = ("_live", "_of", "_view")

    def __init__(self, live: Live) -> None:
        self._live = live
        self._of: object = None
        self._view: RelayPolicy = live.current

    def check(self, asked: Asked) -> Verdict | Awaitable[Verdict]:
        current = self._live.current
        if self._of is not current:  # at the session's first question, and after a reload
            self._of, self._view = current, current.session()
        return self._view.check(asked)

    def session(self) -> RelayPolicy:
        return _Policy(self._live)
