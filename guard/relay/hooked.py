"""The relay policy of a listener with a policy.py: the hook first, the files where it says None.

With KumoMTA it is one or the other: only the last handler of an event is called (kumo.on). An
answer counts for the session that asked, per domain, until the session is authenticated or
encrypted; a hook that fails is a verdict of its own (421 4.3.0), and is asked again next time.
"""

from __future__ import annotations

import asyncio
import logging

from guard.lib.seldom import Seldom
from guard.relay.calls import CallFailed
from guard.relay.hook import Hook, conn_meta
from guard.relay.listener_domains import Entry
from guard.relay.policy import StaticPolicy, decide
from guard.relay.verdict import Asked, RelayPolicy, Verdict

log = logging.getLogger("guard.relay")
_REMEMBERED = 64  # domains per session


class HookPolicy:
    """Implements RelayPolicy. Shared by all sessions, it remembers nothing: see `session`."""

    def __init__(self, hook: Hook, files: StaticPolicy) -> None:
        self.hook, self.files = hook, files
        self.complaints = Seldom(log.error)
        self.relay_hosts, self.domains, self.where = files.relay_hosts, files.domains, files.where

    async def check(self, asked: Asked) -> Verdict:
        """The verdict on `asked`, with the hook asked anew."""
        return await _Session(self).check(asked)

    def session(self) -> RelayPolicy:
        """A policy that asks the hook once for each domain."""
        return _Session(self)

    def failure(self) -> Verdict:
        """The verdict when the hook gives none."""
        where = f"{self.hook.file}:get_listener_domain"
        return Verdict(relay=False, rule="policy", where=where, failed=True)

    async def entries(self, asked: Asked) -> tuple[Entry | None, Entry | None]:
        """What holds for the domains of sender and recipient. Raises CallFailed."""
        return (
            await self.entry(asked.sender_domain, asked),
            await self.entry(asked.recipient_domain, asked),
        )

    async def entry(self, domain: str, asked: Asked) -> Entry | None:
        """What holds for `domain` in the session of `asked`. Raises CallFailed."""
        try:
            options = await self.hook.get_listener_domain(domain, asked.listener, conn_meta(asked))
        except CallFailed as error:
            raise CallFailed(f"{_place(domain)} {error}", error.bare) from None
        if options is None:
            return self.files.domains.find(domain, asked.listener)
        return Entry("", domain, options, self.hook.file, _place(domain))


class _Session:
    def __init__(self, policy: HookPolicy) -> None:
        self._policy = policy
        self._known: dict[str, Entry | None] = {}

    async def check(self, asked: Asked) -> Verdict:
        policy = self._policy
        try:
            sender = await self._entry(asked.sender_domain, asked)
            recipient = await self._entry(asked.recipient_domain, asked)
        except CallFailed as error:
            message = f"{policy.hook.file}: {error}; {asked.peer} is told 421 4.3.0"
            policy.complaints.tell(error.bare, message, asyncio.get_running_loop().time())
            return policy.failure()
        return decide(asked, policy.relay_hosts, sender, recipient, policy.where)

    def session(self) -> RelayPolicy:
        return self._policy.session()

    async def _entry(self, domain: str, asked: Asked) -> Entry | None:
        if domain not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[domain] = await self._policy.entry(domain, asked)
        return self._known[domain]


def _place(domain: str) -> str:
    return f'get_listener_domain("{domain}")'
