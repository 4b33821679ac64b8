"""How long a list takes from bytes to kernel, against the bare `ipset restore` of its result.

    python -m benchmarks.lists

120,000 lines of random addresses and blocks: parsed, checked, cleaned of the protected, collapsed,
and laid in nftables and in ipset, in a network namespace of its own (needs root). Best of five.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks.pipes import until_unread
from guard.events import Block
from guard.feeds.checks import check
from guard.feeds.clean import clean
from guard.feeds.recipe import Limits
from guard.feeds.text import parse_lines
from guard.firewall.iptables import IPTables
from guard.firewall.nftables import NFTables
from guard.lib.bulk import bulk
from guard.lib.networks import Network
from guard.protect.protection import Protectors
from guard.protect.settings import ProtectSettings

LINES, ROUNDS, TIMEOUT = 120_000, 5, 604_800
INSIDE = "GUARD_BENCHMARK_INSIDE"


def lines() -> bytes:
    """The same list each time: nineteen addresses to one block, some of them twice."""
    chance = random.Random(1)
    made = []
    for _ in range(LINES):
        value = chance.randrange(1 << 24, 224 << 24)
        length = 32 if chance.random() < 0.95 else chance.randrange(20, 32)
        made.append(str(Network(4, value, 32).supernet(length)))
    return "\n".join(made).encode()


def best(work: Callable[[], object]) -> float:
    """Wall seconds of the fastest round."""
    found = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found)


def restore(networks: list[Network]) -> Callable[[], object]:
    """ipset's own bulk load of the result, into a set that was emptied before."""
    head = "create -exist bench hash:net maxelem 200000 timeout 0\nflush bench\n"
    text = head + "".join(f"add bench {network} timeout {TIMEOUT}\n" for network in networks)
    return lambda: subprocess.run(["ipset", "restore"], input=text.encode(), check=True)


def main() -> None:
    """Prints one line for each."""
    if INSIDE not in os.environ:
        command = ["unshare", "--net", sys.executable, "-m", "benchmarks.lists"]
        sys.exit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)
    data, limits = lines(), Limits()
    shield = Protectors.build(ProtectSettings())

    def prepared() -> list[Network]:
        with bulk():
            listed = parse_lines(data)
            check(listed, limits, shield.prefixes)
            return clean(listed.networks, shield).networks

    networks = prepared()
    bare = best(restore(networks))
    print(f"{LINES} lines, {len(networks)} blocks; bare ipset restore {bare:.2f} s")
    print(f"parse, check, clean, collapse: {best(prepared):.2f} s")
    for firewall in (NFTables((25,)), IPTables((25,))):
        firewall.open()

        def whole(firewall: NFTables | IPTables = firewall) -> None:
            now = time.time()
            with bulk():
                firewall.replace([Block(network, now + TIMEOUT) for network in prepared()], now)

        spent = best(whole)
        firewall.close(clear=True)
        print(f"the same and laid by {firewall.name}: {spent:.2f} s, {spent / bare:.1f} times")


if __name__ == "__main__":
    sys.exit(until_unread(main))
