"""What is asked of the relay policy and what it answers.

The source of the rules is KumoMTA (smtp_server.rs `check_relaying`, listener_domains.lua); where
we depart, docs/relay.md says so.
"""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from guard.lib.networks import Network


class Reports(StrEnum):
    """What becomes of a bounce (log_oob) or complaint (log_arf) report. The words are KumoMTA's.

    LOG is our reading of `true`: logged, and relayed only where relaying is allowed anyway.
    """

    IGNORE = "Ignore"
    LOG = "Log"
    LOG_THEN_DROP = "LogThenDrop"
    LOG_THEN_RELAY = "LogThenRelay"


class Asked(msgspec.Struct, frozen=True, gc=False):
    """One recipient of one transaction. Domains are lower-case A-labels, `""` where there is none.

    `listener` is the local `ip:port` of the accepted socket; IPv6 in brackets.
    """

    peer: Network
    port: int
    listener: str
    sender_domain: str
    recipient_domain: str
    ehlo: str = ""
    authz_id: str | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """`relay` is the decision; `rule` names what decided, `where` its file and key.

    `failed` means that there is no answer, because the operator's hook raised, hung or returned
    rubbish: the client is told 421 4.3.0 and the connection closed (KumoMTA answers a script
    error so). Nothing else of a failed verdict counts.
    """

    relay: bool
    log_oob: Reports = Reports.IGNORE
    log_arf: Reports = Reports.IGNORE
    rule: str = ""
    where: str = ""
    failed: bool = False

    @property
    def accepts(self) -> bool:
        """Whether RCPT is answered 250: relayed, or a report may follow."""
        return not self.failed and (
            self.relay or self.log_oob is not Reports.IGNORE or self.log_arf is not Reports.IGNORE
        )


class RelayPolicy(Protocol):
    """Who may relay. An answer that has to be waited for (a hook) is an awaitable one.

    A session asks `session()` for a policy of its own when it begins, and for another after AUTH
    and after STARTTLS: what an answer may be remembered for ends there.
    """

    def check(self, asked: Asked) -> Verdict | Awaitable[Verdict]:
        """The verdict on `asked`. Never raises: a hook that fails is its own answer."""
        ...

    def session(self) -> RelayPolicy:
        """The policy for one session, which may remember its answers; itself if it does not."""
        ...
