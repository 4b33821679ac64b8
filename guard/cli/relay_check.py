"""`guard relay-check`: who may send what to whom, and which rule says so."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from guard.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from guard.config import Settings
    from guard.lib.fields import Endpoint
    from guard.relay.explain import Step
    from guard.relay.hooked import HookPolicy
    from guard.relay.policy import StaticPolicy
    from guard.relay.verdict import Asked, Verdict
    from guard.smtp.commands import Command
    from guard.smtp.settings import ListenerSettings

_ANY_HOST = ("", "0.0.0.0", "::")


@click.command("relay-check")
@click.option("--peer", required=True, metavar="IP", help="Who connects; IP:PORT is fine too.")
@click.option("--listener", required=True, metavar="IP:PORT", help="The local address connected.")
@click.option("--from", "sender", required=True, help='The sender; "" is the null sender.')
@click.option("--to", "recipient", required=True, help="The recipient.")
@click.option("--authz", help="The user that the peer is authenticated as.")
@click.option("--ehlo", default="", help="What the peer says in EHLO, for a hook that looks at it.")
@config_option
@json_option
def relay_check(
    peer: str,
    listener: str,
    sender: str,
    recipient: str,
    authz: str | None,
    ehlo: str,
    config: Path | None,
    as_json: bool,
) -> None:
    """Tell whether a message would be relayed, and the rule that decides.

    Says why Guard accepts connections from systems that are not in relay_hosts: it accepts them
    from anybody, and decides at RCPT TO. Exit code 0 for relay or log, 1 for refuse.
    """
    from guard.config import load

    settings = load(config)
    local = _endpoint(listener)
    index = _serving(settings, local)
    mail, rcpt = _command("MAIL FROM", sender), _command("RCPT TO", recipient)
    asked = _asked(peer, local, mail.address.domain, rcpt.address.domain, authz, ehlo)
    steps: Sequence[Step] = ()
    answer = _misspelt(mail, rcpt)
    if not answer:
        verdict, steps = _judge(settings.listener[index], index, asked, config)
        answer = {
            "verdict": "relay" if verdict.relay else "log" if verdict.accepts else "refuse",
            "reply": _reply(verdict, asked, rcpt, settings.listener[index].hostname),
            "rule": verdict.rule,
            "where": verdict.where,
        }
    if as_json:
        print_json(answer)
    else:
        _show(answer, steps)
    raise click.exceptions.Exit(1 if answer["verdict"] == "refuse" else 0)


def _endpoint(text: str) -> Endpoint:
    """`text` as the listener names its local address: canonical, IPv4-mapped ones as IPv4."""
    from guard.lib.fields import Endpoint, parse_endpoint
    from guard.lib.networks import canonical_address

    try:
        host, port = parse_endpoint(text)
        return Endpoint(canonical_address(host), port)
    except ValueError:
        raise click.UsageError(f"{text!r} is not an address and port, as in 192.0.2.1:25") from None


def _serving(settings: Settings, local: Endpoint) -> int:
    """Which `[[listener]]` takes connections to `local`."""
    exact = [i for i, some in enumerate(settings.listener) if some.listen == local]
    wide = [
        i
        for i, some in enumerate(settings.listener)
        if some.listen.port == local.port and some.listen.host in _ANY_HOST
    ]
    # Behind a proxy the address that the client connected to is none of ours.
    behind = [i for i, some in enumerate(settings.listener) if some.proxies]
    if not exact and not wide and not behind:
        known = ", ".join(str(some.listen) for some in settings.listener) or "none"
        raise click.UsageError(f"no [[listener]] listens at {local}; there are: {known}")
    return (exact or wide or behind)[0]


def _command(verb: str, text: str) -> Command:
    """`text` as the listener reads it after `verb`; a name with a dot and no @ is a domain."""
    from guard.smtp.commands import Address, Command, parse

    path = text.strip().removeprefix("<").removesuffix(">")
    if "@" in path or "." not in path:
        return parse(f"{verb}:<{path}>")
    some = parse(f"{verb}:<x@{path}>")
    return some if some.refusal else Command(some.verb, address=Address("", some.address.domain))


def _misspelt(*commands: Command) -> dict[str, str]:
    """The answer when the listener does not even get to the question: no address."""
    for command in commands:
        if command.refusal:
            reply = command.refusal.wire.decode().rstrip("\r\n")
            return {"verdict": "refuse", "reply": reply, "rule": "syntax", "where": ""}
    return {}


def _asked(
    peer: str,
    local: Endpoint,
    sender_domain: str,
    recipient_domain: str,
    authz: str | None,
    ehlo: str,
) -> Asked:
    from guard.lib.fields import parse_endpoint
    from guard.lib.networks import parse_address
    from guard.relay.domain import canonical_domain
    from guard.relay.verdict import Asked

    try:
        host, port = (peer, 0) if peer.count(":") != 1 and peer[:1] != "[" else parse_endpoint(peer)
        address = parse_address(host)
    except ValueError:
        raise click.UsageError(f"{peer!r} is not an IP address, such as 192.0.2.1") from None
    return Asked(
        address,
        port,
        str(local),
        sender_domain,
        recipient_domain,
        canonical_domain(ehlo),
        authz,
    )


def _judge(
    settings: ListenerSettings, index: int, asked: Asked, config: Path | None
) -> tuple[Verdict, Sequence[Step]]:
    """Decides as the listener does, with its files and its hook."""
    import asyncio
    import contextlib
    import sys

    from guard.config import DEFAULT_PATH
    from guard.relay.build import relay_policy
    from guard.relay.calls import Calls
    from guard.relay.hook import load_hook

    if config is None and not DEFAULT_PATH.exists():
        file = "built-in defaults"
    else:
        file = str(config or DEFAULT_PATH)
    where = f"{file}:listener[{index}].relay_hosts"
    calls = Calls(settings.policy_timeout)
    try:
        # What policy.py prints is no part of the answer.
        with contextlib.redirect_stdout(sys.stderr):
            hook = load_hook(settings.policy, calls) if settings.policy else None
            policy = relay_policy(settings.relay_hosts, settings.listener_domains, where, hook)
            return asyncio.run(_decide(policy, asked))
    finally:
        calls.close()


async def _decide(
    policy: StaticPolicy | HookPolicy, asked: Asked
) -> tuple[Verdict, Sequence[Step]]:
    from guard.relay.calls import CallFailed
    from guard.relay.explain import Step, explain
    from guard.relay.hooked import HookPolicy
    from guard.relay.policy import decide

    if isinstance(policy, HookPolicy):
        try:
            entries = await policy.entries(asked)
        except CallFailed as error:
            return policy.failure(), [Step("RCPT TO", str(error), policy.hook.file)]
    else:
        entries = policy.entries(asked)
    verdict = decide(asked, policy.relay_hosts, *entries, policy.where)
    told = policy.domains.entries
    steps = explain(asked, policy.relay_hosts, *entries, verdict, policy.where, told)
    return verdict, list(steps)


def _reply(verdict: Verdict, asked: Asked, rcpt: Command, hostname: str) -> str:
    """What the peer hears at RCPT TO."""
    from guard.smtp import replies

    if verdict.failed:
        return replies.TECHNICAL.format(hostname)
    if verdict.accepts:
        return f"250 OK <{rcpt.address if rcpt.address.local else asked.recipient_domain}>"
    host = f"[{asked.peer}]" if asked.peer.version == 6 else str(asked.peer)
    denied = replies.relay_denied(f"{host}:{asked.port or 'PORT'}")
    return denied.wire.decode().rstrip("\r\n")


def _show(answer: dict[str, str], steps: Sequence[Step]) -> None:
    from guard.lib.logs import printable

    color = {"relay": "green", "log": "yellow", "refuse": "red"}[answer["verdict"]]
    click.echo(f"{click.style(answer['verdict'], fg=color, bold=True)}: {answer['reply']}")
    moment = "the end of DATA" if answer["verdict"] == "log" else "RCPT TO"
    place = f", {answer['where']}" if answer["where"] else ""
    click.echo(f"decided at {moment} by {answer['rule']}{place}")
    when = ""
    for step in steps:
        head = step.when if step.when != when else ""
        when = step.when
        sign = {None: "", True: "yes", False: "no"}[step.allows]
        lines = textwrap.wrap(printable(step.text), 80)
        if step.where:
            lines.append(click.style(printable(step.where), dim=True))
        click.echo(f"{head:<8} {sign:<4} " + f"\n{'':<14}".join(lines))
