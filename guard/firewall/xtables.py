"""The chain GUARD in iptables' raw table, in both make-ups of iptables, for both families.

`Legacy` speaks to the kernel's own tables through python-iptables. `Nft` runs iptables-nft, for
kernels that have lost those tables; each program sees only its own rules, so an operator looks
with the right one (`iptables-legacy -t raw -S` or `iptables-nft -t raw -S`). Rules are laid once;
bans go into the ipsets that they name. Touches the chains GUARD, GUARD_EVERYWHERE and GUARD_FEEDS
and the jumps to the first two, nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from guard.firewall import commands
from guard.firewall.chains import FEEDS, OURS, Chains, Look, Plan, Step, jumps, looks
from guard.roles import Refused, Unavailable

_CHAINS = [f":{name} - [0:0]" for name in OURS]
_LOCK = Path("/run/xtables.lock")
_LOCK_SECONDS = 10.0


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
        rules = looks(plan)
        with self._table(version) as table:
            entry = self._iptc.Chain(table, "PREROUTING")
            self._unhook(entry)
            chains = {name: self._emptied(table, name) for name in OURS}
            for name, chain in chains.items():
                for look in rules.get(name, ()):
                    chain.append_rule(self._match(version, look))
                if name not in rules:
                    table.delete_chain(name)
            for some, target in reversed(jumps(plan, ports)):
                entry.insert_rule(self._jump(version, some, target))

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
            ours = [name for name in OURS if table.is_chain(name)]
            for name in ours:
                self._iptc.Chain(table, name).flush()
            for name in ours:
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
        if chain in OURS or target in OURS:
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
            for name in OURS
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
            if rule.target and rule.target.name in OURS:
                entry.delete_rule(rule)

    def _rule(self, version: int) -> Any:
        return self._iptc.Rule() if version == 4 else self._iptc.Rule6()

    def _jump(self, version: int, ports: Sequence[int] | None, target: str) -> Any:
        rule = self._rule(version)
        if ports is not None:
            rule.protocol = "tcp"
            rule.create_match("multiport").dports = ",".join(map(str, ports))
        rule.target = self._iptc.Target(rule, target)
        return rule

    def _match(self, version: int, look: Look) -> Any:
        rule = self._rule(version)
        if look.name:
            rule.create_match("set").match_set = [look.name, "src"]
        if not look.forwarded:
            rule.create_match("addrtype").dst_type = "LOCAL"
        rule.target = self._iptc.Target(rule, look.target)
        return rule


def _set_of(rule: Any) -> str:
    names = [match.match_set.split()[0] for match in rule.matches if match.name == "set"]
    return names[0] if names and rule.target and rule.target.name in ("DROP", FEEDS) else ""


class Nft:
    """iptables-nft, whose rules live in nftables; one run of a program per change of rules."""

    name = "nft"

    def install(self, version: int, plan: Plan, ports: Sequence[int] | None) -> None:
        """Makes chains and jump in one transaction."""
        rules = looks(plan)
        lines = [*_CHAINS, *self._unhook(version)]
        for name in OURS:
            lines += [_line(name, look) for look in rules.get(name, ())]
        for some, target in reversed(jumps(plan, ports)):
            match = f"-p tcp -m multiport --dports {','.join(map(str, some))} " if some else ""
            lines.append(f"-I PREROUTING 1 {match}-j {target}")
        self._restore(version, [*lines, *(f"-X {name}" for name in OURS if name not in rules)])

    def remove(self, version: int) -> None:
        """Removes jump and chains in one transaction."""
        gone = [f"-X {name}" for name in OURS]
        self._restore(version, [*_CHAINS, *self._unhook(version), *gone])

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
        listed = self._listed(version, "-v")
        for words in (words for words in listed if words[1] in OURS):
            if "--match-set" in words and "-c" in words:
                at = words.index("-c")
                name = words[words.index("--match-set") + 1]
                found[name] = int(words[at + 1]), int(words[at + 2])
        return found

    def program(self, version: int) -> str:
        """The program that sees these rules."""
        return _program(version)

    def _listed(self, version: int, *more: str) -> list[list[str]]:
        """The words of each rule."""
        command = [_program(version), "-w", "-t", "raw", "-S", *more]
        listed = commands.run(command, package="iptables")
        lines = [line.split() for line in listed.splitlines()]
        return [words for words in lines if words[:1] == ["-A"]]

    def _unhook(self, version: int) -> list[str]:
        entry = [words for words in self._listed(version) if words[1] == "PREROUTING"]
        ours = [words for words in entry if words[-2] == "-j" and words[-1] in OURS]
        return [" ".join(["-D", *words[1:]]) for words in ours]

    def _restore(self, version: int, lines: Sequence[str]) -> None:
        given = "\n".join(["*raw", *lines, "COMMIT", ""])
        commands.run([f"{_program(version)}-restore", "-w", "--noflush"], given, package="iptables")


def _program(version: int) -> str:
    return "iptables-nft" if version == 4 else "ip6tables-nft"


def _line(chain: str, look: Look) -> str:
    """A rule as iptables-nft-restore reads it."""
    match = f"-m set --match-set {look.name} src " if look.name else ""
    local = "" if look.forwarded else "-m addrtype --dst-type LOCAL "
    return f"-A {chain} {match}{local}-j {look.target}"


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
