"""May this peer send to this recipient? One pure function of values, and who looks them up.

The order and the rules are KumoMTA's `check_relaying` (smtp_server.rs): the sender's domain gives
`relay_from`, the recipient's gives `relay_to`, `log_oob` and `log_arf`; any one that allows is
enough, and nothing vetoes. Who authenticated is trusted for `relay_from_authz` alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from guard.lib.networks import Network
from guard.lib.prefixes import Prefixes
from guard.relay.listener_domains import Entry, ListenerDomains
from guard.relay.verdict import Asked, RelayPolicy, Reports, Verdict


def decide(
    asked: Asked,
    relay_hosts: Prefixes,
    sender: Entry | None,
    recipient: Entry | None,
    hosts_where: str = "relay_hosts",
) -> Verdict:
    """The verdict, given the entries that the two domains were found to have (None: nothing).

    A refusal names the entry that could have allowed it, or `hosts_where` when there is none.
    """
    oob = recipient.options.log_oob if recipient else Reports.IGNORE
    arf = recipient.options.log_arf if recipient else Reports.IGNORE
    allows = _allows(asked, relay_hosts, sender, recipient, hosts_where)
    rule, where = allows or _refuses(recipient, hosts_where)
    return _verdict(allows is not None, oob, arf, rule, where)


# A flood of questions has few different answers.
_verdict = lru_cache(maxsize=256)(Verdict)


def _allows(
    asked: Asked,
    relay_hosts: Prefixes,
    sender: Entry | None,
    recipient: Entry | None,
    hosts_where: str,
) -> tuple[str, str] | None:
    """The first rule that lets the message through, and its place."""
    if relay_hosts.covers(asked.peer):
        return "relay_hosts", hosts_where
    if sender and asked.authz_id in sender.options.relay_from_authz:
        return "relay_from_authz", sender.where("relay_from_authz")
    if sender and sender.options.relay_from.covers(asked.peer):
        return "relay_from", sender.where("relay_from")
    if recipient and recipient.options.relay_to:
        return "relay_to", recipient.where("relay_to")
    return None


def _refuses(recipient: Entry | None, hosts_where: str) -> tuple[str, str]:
    """What answers when nothing allows relaying: reports that may follow, or the plain no."""
    if recipient is None:
        return "default", hosts_where
    logs = [
        name
        for name in ("log_oob", "log_arf")
        if getattr(recipient.options, name) is not Reports.IGNORE
    ]
    return ", ".join(logs) or "relay_to", recipient.where(logs[0] if logs else "relay_to")


class StaticPolicy:
    """What the configuration files say. Implements RelayPolicy; safe to share."""

    __slots__ = ("domains", "relay_hosts", "where")

    def __init__(
        self,
        relay_hosts: Iterable[Network] = (),
        domains: ListenerDomains | None = None,
        where: str = "relay_hosts",
    ) -> None:
        """`where` is the file and key of `relay_hosts`, for whoever asks why."""
        self.relay_hosts = Prefixes(relay_hosts)
        self.domains = domains or ListenerDomains()
        self.where = where

    def check(self, asked: Asked) -> Verdict:
        """The verdict on `asked`, at once."""
        return decide(asked, self.relay_hosts, *self.entries(asked), self.where)

    def entries(self, asked: Asked) -> tuple[Entry | None, Entry | None]:
        """What the domains of sender and recipient are found to have."""
        return (
            self.domains.find(asked.sender_domain, asked.listener),
            self.domains.find(asked.recipient_domain, asked.listener),
        )

    def session(self) -> RelayPolicy:
        """Itself: there is nothing to remember."""
        return self
