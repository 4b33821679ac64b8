"""How fast the kernel is told, beside the programs that come with it and beside fail2ban.

    python -m benchmarks.firewall

Everything happens in a network namespace of its own, which ends with it; it needs root. The ratios
are what counts, for the machine may be busy: single bans are CPU time of process and kernel, the
rest is wall time. Guard's figures include packing the messages from its own values; those of `nft
-f` and `ipset restore` do not include writing their input, which is ready in memory.
"""

from __future__ import annotations

import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.pipes import until_unread
from guard.events import Block, Claim
from guard.firewall import nftsets
from guard.firewall.iptables import IPTables
from guard.firewall.mirror import Mirror
from guard.firewall.netlink import CREATE, Netlink
from guard.firewall.nftables import NFTables
from guard.firewall.separate import Separated, separate
from guard.firewall.settings import FirewallSettings
from guard.lib.networks import Network
from guard.roles import Firewall
from guard.stores.embedded import EmbeddedStore

MANY, MORE = 100_000, 1_000_000
BANS = 1000
FAIL2BAN_BANS = 60


def blocks(count: int, now: float) -> list[Block]:
    """`count` spread addresses with ends that differ."""
    return [
        Block(Network(4, 0x0B000000 + number * 41, 32), now + 3600 + number % 1000)
        for number in range(count)
    ]


def median(rounds: int, run: Callable[[], object]) -> float:
    """Seconds that `run` takes."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def show(what: str, seconds: float, beside: str = "", ratio: float = 0.0) -> None:
    """One line of the result."""
    size = f"{seconds * 1e6:10.1f} us" if seconds < 0.01 else f"{seconds:10.3f} s "
    print(f"{what:<52}{size}" + (f"   {ratio:6.2f} x {beside}" if beside else ""), flush=True)


def piped(command: Sequence[str], text: bytes) -> Callable[[], object]:
    """Runs a program with its input ready."""
    return lambda: subprocess.run(command, input=text, check=True, capture_output=True)


def bulk() -> None:
    """Replacing a hundred thousand and a million."""
    now = time.time()
    wanted = blocks(MANY, now)
    seconds = [(str(net), int((until or now) - now)) for net, until in wanted]
    listed = ", ".join(f"{net} timeout {left}s" for net, left in seconds)
    create = "{ type ipv4_addr; flags timeout; }"
    subprocess.run(["nft", "add", "table", "inet", "plain"], check=True)
    subprocess.run(["nft", "add", "set", "inet", "plain", "s", create], check=True)
    text = f"flush set inet plain s\nadd element inet plain s {{ {listed} }}\n"
    plain = median(3, piped(["nft", "-f", "-"], text.encode()))
    subprocess.run(["nft", "delete", "table", "inet", "plain"], check=True)
    show("nft -f, replace 100,000", plain)
    nft = NFTables((25,))
    nft.open()
    ours = median(3, lambda: nft.replace(wanted, now))
    show("Guard nftables, replace 100,000", ours, "nft -f", ours / plain)

    lines = [f"add plain_new {net} timeout {left}" for net, left in seconds]
    subprocess.run(["ipset", "create", "plain", "hash:ip", "timeout", "0"], check=True)
    head = f"create plain_new hash:ip timeout 0 maxelem {MORE}"
    script = "\n".join([head, *lines, "swap plain plain_new", "destroy plain_new", ""])
    restore = median(3, piped(["ipset", "restore"], script.encode()))
    subprocess.run(["ipset", "destroy", "plain"], check=True)
    show("ipset restore, replace 100,000 (new set and swap)", restore)
    sets = IPTables((25,))
    sets.open()
    iptables = median(3, lambda: sets.replace(wanted, now))
    show("Guard ipset, replace 100,000", iptables, "ipset restore", iptables / restore)
    show("Guard nftables, replace 100,000", ours, "ipset restore", ours / restore)

    for name, firewall, hundred in (("nftables", nft, ours), ("ipset", sets, iptables)):
        many = blocks(MORE, now)
        million = median(1, lambda made=firewall, all_=many: made.replace(all_, now))  # type: ignore[misc]
        show(f"Guard {name}, replace 1,000,000", million, "its 100,000", million / hundred)
        del many
        firewall.close(clear=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{'memory at its peak, the million blocks included':<52}{peak / 1024:10.0f} MB", flush=True
    )


def bare() -> float:
    """Seconds for one message that adds an element, and its answer: the least that a ban can be."""
    create = "{ type ipv4_addr; flags timeout; }"
    subprocess.run(["nft", "add", "table", "inet", "bare"], check=True)
    subprocess.run(["nft", "add", "set", "inet", "bare", "s", create], check=True)
    netlink = Netlink()
    messages = []
    for number in range(BANS):
        element = nftsets.keys([((0xC0000000 + number).to_bytes(4, "big"), 600_000)], 4)
        messages.append([*nftsets.change(nftsets.NEW_ELEMENTS, CREATE, "bare", "s", element)])
    began = time.process_time()
    for each in messages:
        netlink.transact(nftsets.SUBSYSTEM, each)
    taken = (time.process_time() - began) / BANS
    netlink.close()
    subprocess.run(["nft", "delete", "table", "inet", "bare"], check=True)
    return taken


def one_by_one(firewall: Firewall, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds a ban, one transaction each."""
    now = time.time()
    each = [[Block(Network(4, 0xC0000000 + number, 32), now + 600)] for number in range(BANS)]
    began = clock()
    for block in each:
        firewall.apply(block, [], now)
    taken = (clock() - began) / BANS
    firewall.apply([], [block[0].network for block in each], now)
    return taken


def processors(firewall: Separated) -> Callable[[], float]:
    """A clock of what this process and that of `firewall` took of processors, in seconds."""
    parent = firewall.pid
    child = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0]
    told = Path(f"/proc/{child}/schedstat")
    return lambda: time.process_time() + int(told.read_text().split()[0]) / 1e9


def bans() -> None:
    """One ban beside ten and beside a million. Best of seven rounds, a bare message in each."""
    now = time.time()
    small, large = NFTables((25,)), NFTables((25,), table="guard_large")
    sets = IPTables((25,))
    other = Separated(FirewallSettings(backend="nftables"))
    for firewall, count in ((small, 10), (large, MORE), (sets, 10)):
        firewall.open()
        firewall.replace(blocks(count, now), now)
    ways: dict[str, Callable[[], float]] = {
        "a bare netlink message": bare,
        "Guard nftables, one ban at 10": lambda: one_by_one(small),
        "Guard nftables, one ban at 1,000,000": lambda: one_by_one(large),
        "Guard ipset, one ban": lambda: one_by_one(sets),
        "the same in a process of its own": lambda: one_by_one(other, processors(other)),
        "  by the clock": lambda: one_by_one(other, time.perf_counter),
    }
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(7):
        for name, way in ways.items():
            best[name] = min(best[name], way())
    message = best["a bare netlink message"]
    for name, taken in best.items():
        show(name, taken, "a bare message", taken / message)
    for made in (small, large, sets, other):
        made.close(clear=True)


class Nobody:
    """A Protection that protects nobody."""

    def protects(self, network: Network) -> str | None:
        """Nobody."""
        return None


def offenders() -> None:
    """A thousand offenders at once: their claims on disk, then every one of them in the kernel."""
    taken = []
    with tempfile.TemporaryDirectory() as name:
        store = EmbeddedStore(Path(name))
        firewall = separate(FirewallSettings(backend="nftables")).firewall
        mirror = Mirror(store.ledger, firewall, Nobody())
        mirror.start(time.time())
        for turn in range(9):
            now = time.time()
            networks = [Network(4, 0x0B000000 + turn * 5000 + n, 32) for n in range(1000)]
            claims = [Claim(network, "jail:x", "", now, now + 600) for network in networks]
            began = time.perf_counter()
            store.ledger.claim(claims, now)
            mirror.step(now)
            taken.append(time.perf_counter() - began)
        firewall.close(clear=True)
        store.close()
    show("1,000 offenders at once, until the last is dropped", statistics.median(taken))
    show("  the best of nine", min(taken))


def restart() -> None:
    """A hundred thousand bans back in the kernel, beside fail2ban's one after the other."""
    now = time.time()
    wanted = blocks(MANY, now)

    def ours() -> None:
        firewall = separate(FirewallSettings(backend="nftables")).firewall
        firewall.replace(wanted, now)
        firewall.close()

    taken = median(3, ours)
    show("Guard, restart with 100,000 bans, process and all", taken)
    subprocess.run(["nft", "delete", "table", "inet", "guard"], check=True)
    with tempfile.TemporaryDirectory() as name:
        theirs = fail2ban(Path(name))
    show(f"fail2ban with nftables, a ban ({FAIL2BAN_BANS} measured)", theirs)
    whole = theirs * MANY
    show("  so 1,000 of them", theirs * 1000)
    show("  so 100,000 of them", whole, "Guard's restart", whole / taken)


def fail2ban(folder: Path) -> float:
    """Seconds from telling the real fail2ban of bans until the kernel has them all, a ban."""
    (folder / "log").touch()
    (folder / "fail2ban.conf").write_text(
        "[Definition]\nloglevel = ERROR\nlogtarget = STDOUT\nsyslogsocket = auto\n"
        f"socket = {folder}/sock\npidfile = {folder}/pid\ndbfile = None\n"
    )
    for part in ("action.d", "filter.d"):
        (folder / part).symlink_to(f"/etc/fail2ban/{part}")
    (folder / "filter.conf").write_text("")
    (folder / "jail.conf").write_text(
        "[probe]\nenabled = true\nbackend = polling\nfilter =\nfailregex = ^<HOST> no$\n"
        f"logpath = {folder}/log\nbantime = 3600\nmaxretry = 1\n"
        "action = nftables-multiport[name=probe, port=25]\n"
    )
    base = ["-c", str(folder), "-s", f"{folder}/sock", "-p", f"{folder}/pid"]
    server = subprocess.Popen(
        ["fail2ban-server", *base, "-f", "start"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        client = ["fail2ban-client", *base]
        deadline = time.monotonic() + 30
        while subprocess.run([*client, "ping"], capture_output=True).returncode:
            if time.monotonic() > deadline:
                raise RuntimeError("fail2ban-server did not start")
            time.sleep(0.1)
        addresses = [f"203.0.113.{number + 1}" for number in range(FAIL2BAN_BANS)]
        began = time.perf_counter()
        subprocess.run(
            [*client, "set", "probe", "banip", *addresses], check=True, capture_output=True
        )
        while _held() < FAIL2BAN_BANS and time.monotonic() < deadline + 60:
            time.sleep(0.01)
        return (time.perf_counter() - began) / FAIL2BAN_BANS
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _held() -> int:
    shown = subprocess.run(
        ["nft", "list", "set", "inet", "f2b-table", "addr-set-probe"],
        capture_output=True,
        text=True,
    )
    return shown.stdout.count("203.0.113.")


def main() -> None:
    """Runs itself again inside a namespace, and then measures."""
    if len(sys.argv) > 1 and sys.argv[1] == "inside":
        for part in (bulk, bans, offenders, restart):
            part()
        return
    if os.geteuid() != 0:
        sys.exit("needs root, for a network namespace and the kernel's firewall")
    name = f"guard-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        inside = [sys.executable, "-m", "benchmarks.firewall", "inside"]
        subprocess.run(["ip", "netns", "exec", name, *inside], check=True, timeout=600)
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


if __name__ == "__main__":
    sys.exit(until_unread(main))
