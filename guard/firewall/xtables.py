"""The chain GUARD in iptables' raw table, in both make-ups of iptables, for both families.

`Legacy` speaks to the kernel's own tables through python-iptables. `Nft` runs iptables-nft, for
kernels that have lost those tables; each program sees only its own rules, so an operator looks
with the right one (`iptables-legacy -t raw -S` or `iptables-nft -t raw -S`). Rules are laid once;
bans go into the ipsets that they name. Touches the chains GUARD and GUARD_FEEDS and the jumps to
GUARD, nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from guard.firewall import commands
from guard.roles import Refused, Unavailable

CHAIN, FEEDS = "GUARD", "GUARD_FEEDS"
# xt_multiport holds fifteen ports a rule.
_PORTS = 15
_LOCK = Path("/run/xtables.lock")
_LOCK_SECONDS = 10.0
_PASSING = {"ACCEPT", "RETURN", "QUEUE", "NFQUEUE"}


class Plan(NamedTuple):
    """Sets that drop, in order; those whose packets are looked up in `behind`, and dropped anyway.

    `forwarded` drops what is for others too, not only what is addressed to this machine.
    """

    drop: Sequence[str]
    listed: Sequence[str] = ()
    behind: Sequence[str] = ()
    forwarded: bool = False


class Step(NamedTuple):
    """One rule: where it leads, whether for good, and for ours all that it says."""

    target: str
    goto: bool = False
    text: str = ""


Chains = Mapping[str, Sequence[Step]]


class Rules(Protocol):
    """One make-up of iptables. `version` is 4 or 6."""

    name: str

    def install(self, version: int, plan: Plan, ports: Sequence[int] | None) -> None:
        """Makes chains and jump, the jump first of all rules; repeats change nothing."""
        ...

    def remove(self, version: int) -> None:
        """Removes jump and chains, if they are there."""
        ...

    def chains(self, version: int) -> Chains:
        """The raw table's chains with their rules in order."""
        ...

    def counters(self, version: int) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since its rule was laid."""
        ...

    def program(self, version: int) -> str:
        """What an operator runs to see these rules."""
        ...


def chunks(ports: Sequence[int] | None) -> list[Sequence[int] | None]:
    """Ports as single rules can hold them; None is every port and protocol."""
    if ports is None:
        return [None]
    return [ports[at : at + _PORTS] for at in range(0, len(ports), _PORTS)]


@contextmanager
def _locked() -> Iterator[None]:
    """Holds the lock that every iptables program takes, so that none of us loses a change."""
    try:
        lock = _LOCK.open("a")
    except OSError as error:
        raise Refused(f"cannot lock {_LOCK}: {error.strerror}") from error
    with lock:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"another program holds {_LOCK}") from error
                time.sleep(0.05)
        yield


class Legacy:
    """The kernel's own tables, through python-iptables."""

    name = "legacy"

    def __init__(self) -> None:
        """Raises Refused when python-iptables is missing or cannot find libxtables."""
        try:
            import iptc
        except ImportError as error:
            hint = "needs python-iptables: pip install 'guard-smtp[iptables]'"
            raise Refused(f"the iptables firewall {hint} ({error})") from error
        self._iptc: Any = iptc

    def install(self, version: int, plan: Plan, ports: Sequence[int] | None) -> None:
        """Makes chains and jump in one commit."""
        with self._table(version) as table:
            chain, feeds = self._emptied(table, CHAIN), self._emptied(table, FEEDS)
            for name in plan.drop:
                chain.append_rule(self._match(version, name, "DROP", forwarded=plan.forwarded))
            for name in plan.listed:
                chain.append_rule(self._match(version, name, FEEDS, forwarded=plan.forwarded))
            if plan.listed:
                for name in plan.behind:
                    feeds.append_rule(self._match(version, name, "DROP", forwarded=True))
                rest = self._rule(version)
                rest.target = self._iptc.Target(rest, "DROP")
                feeds.append_rule(rest)
            else:
                table.delete_chain(FEEDS)
            entry = self._iptc.Chain(table, "PREROUTING")
            self._unhook(entry)
            for some in reversed(chunks(ports)):
                entry.insert_rule(self._jump(version, some))

    def _emptied(self, table: Any, name: str) -> Any:
        if not table.is_chain(name):
            table.create_chain(name)
        chain = self._iptc.Chain(table, name)
        chain.flush()
        return chain

    def remove(self, version: int) -> None:
        """Removes jump and chains in one commit."""
        with self._table(version) as table:
            self._unhook(self._iptc.Chain(table, "PREROUTING"))
            for name in (CHAIN, FEEDS):
                if table.is_chain(name):
                    self._iptc.Chain(table, name).flush()
                    table.delete_chain(name)

    def chains(self, version: int) -> Chains:
        """The raw table's chains with their rules in order."""
        with self._table(version) as table:
            return {
                chain.name: [self._step(chain.name, rule, version) for rule in chain.rules]
                for chain in table.chains
            }

    def _step(self, chain: str, rule: Any, version: int) -> Step:
        if not rule.target:
            return Step("")
        target, text = str(rule.target.name), ""
        if chain in (CHAIN, FEEDS) or target == CHAIN:
            said = self._iptc.easy.decode_iptc_rule(rule, ipv6=version == 6)
            text = str({key: said[key] for key in sorted(said) if key != "counters"})
        return Step(target, bool(rule.target.goto), text)

    def counters(self, version: int) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since its rule was laid."""
        with self._table(version) as table:
            return {_set_of(rule): tuple(rule.get_counters()) for rule in self._ours(table)}

    def _ours(self, table: Any) -> list[Any]:
        return [
            rule
            for name in (CHAIN, FEEDS)
            if table.is_chain(name)
            for rule in self._iptc.Chain(table, name).rules
        ]

    def program(self, version: int) -> str:
        """The program that sees these tables."""
        return f"{'iptables' if version == 4 else 'ip6tables'}-legacy"

    @contextmanager
    def _table(self, version: int) -> Iterator[Any]:
        """The raw table as it is now, committed at the end, under the lock of all iptables."""
        kind = self._iptc.Table if version == 4 else self._iptc.Table6
        with _locked():
            try:
                # Tables are shared within the process and remember the namespace they saw first.
                table = kind(kind.RAW, autocommit=False)
                table.refresh()
                yield table
                table.commit()
            except self._iptc.IPTCError as error:
                if os.strerror(errno.EAGAIN) in str(error):
                    raise Unavailable("another program changes iptables' rules") from error
                raise Refused(f"iptables (legacy) does not work here: {error}") from error
            finally:
                if "table" in locals():
                    table.close()

    def _unhook(self, entry: Any) -> None:
        for rule in list(entry.rules):
            if rule.target and rule.target.name == CHAIN:
                entry.delete_rule(rule)

    def _rule(self, version: int) -> Any:
        return self._iptc.Rule() if version == 4 else self._iptc.Rule6()

    def _jump(self, version: int, ports: Sequence[int] | None) -> Any:
        rule = self._rule(version)
        if ports is not None:
            rule.protocol = "tcp"
            rule.create_match("multiport").dports = ",".join(map(str, ports))
        rule.target = self._iptc.Target(rule, CHAIN)
        return rule

    def _match(self, version: int, name: str, target: str, *, forwarded: bool) -> Any:
        rule = self._rule(version)
        rule.create_match("set").match_set = [name, "src"]
        if not forwarded:
            rule.create_match("addrtype").dst_type = "LOCAL"
        rule.target = self._iptc.Target(rule, target)
        return rule


def _set_of(rule: Any) -> str:
    names = [match.match_set.split()[0] for match in rule.matches if match.name == "set"]
    return names[0] if names and rule.target and rule.target.name in ("DROP", FEEDS) else ""


class Nft:
    """iptables-nft, whose rules live in nftables; one run of a program per change of rules."""

    name = "nft"

    def install(self, version: int, plan: Plan, ports: Sequence[int] | None) -> None:
        """Makes chains and jump in one transaction."""
        local = "" if plan.forwarded else "-m addrtype --dst-type LOCAL "
        lines = [f":{CHAIN} - [0:0]", f":{FEEDS} - [0:0]", *self._unhook(version)]
        lines += [f"-A {CHAIN} -m set --match-set {name} src {local}-j DROP" for name in plan.drop]
        lines += [
            f"-A {CHAIN} -m set --match-set {name} src {local}-j {FEEDS}" for name in plan.listed
        ]
        if plan.listed:
            lines += [f"-A {FEEDS} -m set --match-set {name} src -j DROP" for name in plan.behind]
            lines.append(f"-A {FEEDS} -j DROP")
        else:
            lines.append(f"-X {FEEDS}")
        for some in reversed(chunks(ports)):
            match = f"-p tcp -m multiport --dports {','.join(map(str, some))} " if some else ""
            lines.append(f"-I PREROUTING 1 {match}-j {CHAIN}")
        self._restore(version, lines)

    def remove(self, version: int) -> None:
        """Removes jump and chains in one transaction."""
        lines = [f":{CHAIN} - [0:0]", f":{FEEDS} - [0:0]", *self._unhook(version)]
        self._restore(version, [*lines, f"-X {CHAIN}", f"-X {FEEDS}"])

    def chains(self, version: int) -> Chains:
        """The raw table's chains with their rules in order."""
        listed = commands.run([_program(version), "-w", "-t", "raw", "-S"], package="iptables")
        found: dict[str, list[Step]] = {}
        for what, name, *words in filter(None, map(_words, listed.splitlines())):
            steps = found.setdefault(name, [])
            if what == "-A":
                steps.append(_step(words))
        return found

    def counters(self, version: int) -> dict[str, tuple[int, int]]:
        """(packets, bytes) that each set dropped since its rule was laid."""
        found = {}
        listed = [self._listed(version, chain, "-v") for chain in (CHAIN, FEEDS)]
        for words in [*listed[0], *listed[1]]:
            if "--match-set" in words and "-c" in words:
                at = words.index("-c")
                name = words[words.index("--match-set") + 1]
                found[name] = int(words[at + 1]), int(words[at + 2])
        return found

    def program(self, version: int) -> str:
        """The program that sees these rules."""
        return _program(version)

    def _entry(self, version: int) -> list[list[str]]:
        return self._listed(version, "PREROUTING")

    def _listed(self, version: int, chain: str, *more: str) -> list[list[str]]:
        """The words of each rule of `chain`."""
        command = [_program(version), "-w", "-t", "raw", "-S", *more]
        listed = commands.run(command, package="iptables")
        lines = [line.split() for line in listed.splitlines()]
        return [words for words in lines if words[:2] == ["-A", chain]]

    def _unhook(self, version: int) -> list[str]:
        ours = [words for words in self._entry(version) if words[-2:] == ["-j", CHAIN]]
        return [" ".join(["-D", *words[1:]]) for words in ours]

    def _restore(self, version: int, lines: Sequence[str]) -> None:
        given = "\n".join(["*raw", *lines, "COMMIT", ""])
        commands.run([f"{_program(version)}-restore", "-w", "--noflush"], given, package="iptables")


def _program(version: int) -> str:
    return "iptables-nft" if version == 4 else "ip6tables-nft"


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _step(words: Sequence[str]) -> Step:
    """A rule as iptables-nft lists it, its chain left out."""
    for flag in ("-j", "-g"):
        if flag in words[:-1]:
            return Step(words[words.index(flag) + 1], flag == "-g", " ".join(words))
    return Step("")


def entries(chains: Chains) -> list[Step]:
    """Our jumps."""
    return [step for step in chains.get("PREROUTING", ()) if step.target == CHAIN]


def laid(chains: Chains) -> list[Step]:
    """The rules of our chains."""
    return [*chains.get(CHAIN, ()), *chains.get(FEEDS, ())]


def passing(chains: Chains) -> list[str]:
    """What ahead of our first jump may let a blocked packet pass, each once, in words."""
    ahead = []
    for step in chains.get("PREROUTING", ()):
        if step.target == CHAIN:
            break
        ahead.append(step)
    return list(dict.fromkeys(said for step in ahead if (said := _passes(step, chains))))


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
