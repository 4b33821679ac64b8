"""The chains that iptables has of ours, and the way of packets through them and others'. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

CHAIN, EVERYWHERE, FEEDS = "GUARD", "GUARD_EVERYWHERE", "GUARD_FEEDS"
OURS = (CHAIN, EVERYWHERE, FEEDS)
# xt_multiport holds fifteen ports a rule.
_PORTS = 15
_PASSING = {"ACCEPT", "RETURN", "QUEUE", "NFQUEUE"}


class Plan(NamedTuple):
    """Sets that drop, in order; those whose packets are looked up in `behind`, and dropped anyway.

    The sets `everywhere` drop whatever the port. `forwarded` drops what is for others too, not
    only what is addressed to this machine.
    """

    drop: Sequence[str]
    listed: Sequence[str] = ()
    behind: Sequence[str] = ()
    forwarded: bool = False
    everywhere: Sequence[str] = ()


class Look(NamedTuple):
    """One of our rules: packets whose source is in the set `name`, or all, go to `target`."""

    name: str
    target: str
    forwarded: bool


def looks(plan: Plan) -> dict[str, list[Look]]:
    """The chains that `plan` needs, with their rules."""
    chain = [Look(name, "DROP", plan.forwarded) for name in plan.drop]
    chain += [Look(name, FEEDS, plan.forwarded) for name in plan.listed]
    everywhere = [Look(name, "DROP", plan.forwarded) for name in plan.everywhere]
    feeds = (
        [Look(name, "DROP", forwarded=True) for name in (*plan.behind, "")] if plan.listed else []
    )
    found = {CHAIN: chain, EVERYWHERE: everywhere, FEEDS: feeds}
    return {name: rules for name, rules in found.items() if rules or name == CHAIN}


class Step(NamedTuple):
    """One rule: where it leads, whether for good, and for ours all that it says."""

    target: str
    goto: bool = False
    text: str = ""


Chains = Mapping[str, Sequence[Step]]


def jumps(plan: Plan, ports: Sequence[int] | None) -> list[tuple[Sequence[int] | None, str]]:
    """Our rules of PREROUTING in order: the ports of each, and the chain that it leads to."""
    found = [(some, CHAIN) for some in chunks(ports)]
    return [*found, (None, EVERYWHERE)] if plan.everywhere else found


def chunks(ports: Sequence[int] | None) -> list[Sequence[int] | None]:
    """Ports as single rules can hold them; None is every port and protocol."""
    if ports is None:
        return [None]
    return [ports[at : at + _PORTS] for at in range(0, len(ports), _PORTS)]


def entries(chains: Chains) -> list[Step]:
    """Our jumps."""
    return [step for step in chains.get("PREROUTING", ()) if step.target in OURS]


def laid(chains: Chains) -> list[Step]:
    """The rules of our chains."""
    return [step for name in OURS for step in chains.get(name, ())]


def passing(chains: Chains) -> list[str]:
    """What ahead of our last jump may let a blocked packet pass, each once, in words."""
    steps = chains.get("PREROUTING", ())
    ours = [at for at, step in enumerate(steps) if step.target in OURS]
    ahead = steps[: ours[-1]] if ours else steps
    others = [step for step in ahead if step.target not in OURS]
    return list(dict.fromkeys(said for step in others if (said := _passes(step, chains))))


def _passes(step: Step, chains: Chains) -> str:
    """How a rule of PREROUTING lets packets pass; empty when it does not."""
    if step.target in _PASSING:
        return step.target
    if step.goto:
        # What comes to the end of that chain does not come back here.
        return f"goto {step.target}"
    return _accepts(step.target, chains)


def _accepts(name: str, chains: Chains) -> str:
    """The first rule in the chain `name`, or behind it, that ends a packet's way well."""
    for step in chains.get(name, ()):
        if step.target in _PASSING - {"RETURN"}:
            return f"{step.target} in {name}"
        if deeper := _accepts(step.target, chains):
            return deeper
    return ""
