"""Every step of a relay decision, in words: what `guard relay-check` prints. Pure.

The steps are those of policy.decide, told one by one; a test holds that both agree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from guard.lib.prefixes import Prefixes
from guard.relay.hiding import hides
from guard.relay.listener_domains import EVERY, Entry
from guard.relay.verdict import Asked, Reports, Verdict

_AT_DATA = {
    Reports.IGNORE: "is not looked for",
    Reports.LOG: "is logged, and goes where relaying is allowed anyway",
    Reports.LOG_THEN_DROP: "is logged and dropped",
    Reports.LOG_THEN_RELAY: "is logged and relayed, whoever sends it",
}
_NAMES = {"log_oob": "a bounce (RFC 3464)", "log_arf": "a complaint (RFC 5965)"}


@dataclass(frozen=True, slots=True)
class Step:
    """One step: when in the dialogue, what was looked at, and whether it allows relaying.

    `allows` is None where nothing is decided.
    """

    when: str
    text: str
    where: str = ""
    allows: bool | None = None


def explain(
    asked: Asked,
    relay_hosts: Prefixes,
    sender: Entry | None,
    recipient: Entry | None,
    verdict: Verdict,
    hosts_where: str = "relay_hosts",
    entries: Sequence[Entry] = (),
) -> Iterator[Step]:
    """The steps that lead to `verdict`, in order; with all `entries`, what those found hide."""
    yield Step(
        "connect",
        "Anybody may connect: mail from strangers for your own domains has to come in. relay_hosts "
        "does not say who may connect but who may send to any domain, and that is decided at RCPT "
        "TO, for each recipient. Who must not connect at all is for a ban, or the firewall.",
    )
    yield _hosts(asked, relay_hosts, hosts_where)
    yield from _sender(asked, sender)
    yield from _recipient(asked, recipient)
    yield from _hidden([sender, None if recipient is sender else recipient], entries)
    yield from _data(verdict)


def _hosts(asked: Asked, relay_hosts: Prefixes, where: str) -> Step:
    for block in relay_hosts:
        if block.covers(asked.peer):
            held = "" if block == asked.peer else f" ({block})"
            return Step("RCPT TO", f"{asked.peer} is in relay_hosts{held}", where, allows=True)
    return Step("RCPT TO", f"{asked.peer} is not in relay_hosts", where, allows=False)


def _found(role: str, domain: str, entry: Entry | None) -> Step:
    name = f"the {role} domain {domain}" if domain else f"a {role} without a domain"
    if entry is None:
        return Step("RCPT TO", f"{name}: no entry")
    how = "its own entry" if entry.domain == domain else f"the entry {entry.domain}"
    if entry.listener not in (EVERY, ""):
        how += f" of listener {entry.listener}"
    return Step("RCPT TO", f"{name}: {how}", entry.where())


def _sender(asked: Asked, entry: Entry | None) -> Iterator[Step]:
    yield _found("sender", asked.sender_domain, entry)
    if entry is None:
        return
    users, hosts = entry.options.relay_from_authz, entry.options.relay_from
    if users:
        who = f"user {asked.authz_id}" if asked.authz_id is not None else "who is not authenticated"
        inside = asked.authz_id in users
        text = f"{who} {'is' if inside else 'is not'} in its relay_from_authz"
        yield Step("RCPT TO", text, entry.where("relay_from_authz"), allows=inside)
    if hosts or not users:
        inside = hosts.covers(asked.peer)
        text = f"{asked.peer} {'is' if inside else 'is not'} in its relay_from"
        yield Step("RCPT TO", text, _place(entry, "relay_from"), allows=inside)


def _recipient(asked: Asked, entry: Entry | None) -> Iterator[Step]:
    yield _found("recipient", asked.recipient_domain, entry)
    if entry is None:
        return
    allowed = entry.options.relay_to
    text = f"its relay_to is {'true: anybody may send to it' if allowed else 'false'}"
    yield Step("RCPT TO", text, _place(entry, "relay_to"), allows=allowed)
    for option, what in _NAMES.items():
        mode = getattr(entry.options, option)
        if mode is not Reports.IGNORE:
            text = f"{what} for it {_AT_DATA[mode]} ({option})"
            yield Step("RCPT TO", text, _place(entry, option))


def _hidden(found: Iterable[Entry | None], entries: Sequence[Entry]) -> Iterator[Step]:
    for entry in found:
        if entry and entry.listener:  # a hook's answer hides what it hides on purpose
            for message in hides(entry, entries):
                yield Step("RCPT TO", f"mind that {entry.key} {message}")


def _place(entry: Entry, option: str) -> str:
    """Where `option` is set; "" when it is not, for the entry's place was told before."""
    return entry.where(option) if option in entry.files else ""


def _data(verdict: Verdict) -> Iterator[Step]:
    if not verdict.accepts:
        return
    other = "the"
    for option, what in _NAMES.items():
        mode = getattr(verdict, option)
        if mode is not Reports.IGNORE:
            logged = f"is logged and {'relayed' if verdict.relay else 'goes no further'}"
            other = "any other"
            yield Step("DATA", f"{what} {logged if mode is Reports.LOG else _AT_DATA[mode]}")
    fate = "is relayed" if verdict.relay else "is refused: 550 5.7.1 relaying not permitted"
    yield Step("DATA", f"{other} message {fate}")
