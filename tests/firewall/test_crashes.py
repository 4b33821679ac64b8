"""Killed between any two steps: nobody who is to stay blocked gets in, the next start is whole.

A process of its own lays one state over another and is killed before its first step, its second,
and so on until it gets through. A step is a message to the kernel, a run of a program or a commit.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from netns import World, inside
from packetfilters import PACKET_FILTERS
from support import documented_firewall

from guard.events import Block
from guard.firewall.blackhole import Blackhole
from guard.firewall.exec import Exec
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
BACKENDS = {
    **PACKET_FILTERS,
    "blackhole": Blackhole,
    "exec": lambda: Exec([str(documented_firewall())]),
}
# Blocked before and after, by an address that becomes a prefix and by a prefix that becomes an
# address, among others that come and go.
OLD = [net("192.0.2.10"), net("2001:db8:1::/64"), net("203.0.113.0/24"), net("203.0.113.7")]
NEW = [net("192.0.2.0/24"), net("2001:db8:1::10"), net("203.0.113.128/25")]
_SCRIPT = """
import os, signal, sys, time
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]
import iptc
from guard.events import Block
from guard.firewall import commands, netlink
from test_crashes import BACKENDS, NEW, others

left = 0
def stepping(owner, name):
    function = getattr(owner, name)
    def step(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    setattr(owner, name, step)

for owner, name in (
    (netlink.Netlink, "send"), (netlink.Netlink, "transact"), (commands, "run"),
    (iptc.Table, "commit"), (iptc.Table6, "commit"),
):
    stepping(owner, name)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        left = int(line)
        now = time.time()
        firewall = BACKENDS[sys.argv[2]]()
        firewall.open()
        firewall.replace([Block(each, None) for each in [*NEW, *others(1)]], now)
        firewall.apply([Block(NEW[0], now + 900)], others(1)[:50], now)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def others(part: int) -> list[Network]:
    """Some more addresses, half of them in both parts."""
    return [Network(4, 0x0A000000 + number, 32) for number in range(part * 50, part * 50 + 100)]


@contextmanager
def killer(world: World, backend: str) -> Iterator[Callable[[int], bool]]:
    """Lays NEW over what is there, killed before a step; tells whether it came to that."""
    folder = __file__.rpartition("/")[0]
    command = [sys.executable, "-c", _SCRIPT, folder, backend]
    with inside(world.server):
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def kill(step: int) -> bool:
        process.stdin.write(f"{step}\n")
        status = int(process.stdout.readline())
        assert status in (0, -signal.SIGKILL)
        return status != 0

    with process:
        yield kill
        process.stdin.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_kill_lets_nobody_in_and_the_next_start_is_whole(world: World, backend: str):
    """From OLD to NEW, killed at every step: the offender, who is in both, never gets through."""
    with killer(world, backend) as kill:
        for step in range(1, 100):
            with inside(world.server):
                firewall = BACKENDS[backend]()
                firewall.open()
                wanted = [Block(each, None) for each in [*OLD, *others(0)]]
                firewall.replace(wanted, time.time())
                assert set(firewall.blocked(time.time())) == {each for each, _ in wanted}, step
                firewall.close()
            again = kill(step)
            for address in (world.v4, world.v6):
                assert world.offender.dropped(address), f"let in by a kill before step {step}"
            assert world.innocent.connects(world.v4)
            if not again:
                break
    assert 3 < step < 99
