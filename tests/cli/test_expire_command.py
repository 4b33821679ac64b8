"""`guard expire` ends what is over where nobody else does, and nothing else."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from netns import World, inside, reachable_world

from guard.events import Block
from guard.firewall.blackhole import Blackhole
from guard.firewall.sole import Marks
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
EXPIRE = (sys.executable, "-m", "guard", "expire")


@pytest.fixture
def world() -> Iterator[World]:
    """Hosts, the offender's addresses null-routed: one over, one not, one for ever."""
    now = time.time()
    ends = {"192.0.2.10": now - 1, "192.0.2.11": now + 900, "2001:db8:1::/64": None}
    with reachable_world() as made:
        with inside(made.server):
            firewall = Blackhole()
            firewall.open()
            blocks = [Block(net(network), end) for network, end in ends.items()]
            firewall.apply(blocks, [], now - 10)
            firewall.close()
        yield made


def test_what_is_over_ends_and_nothing_else(world: World):
    """The neighbour's ban goes on, as does that for ever; another run finds nothing."""
    assert world.offender.dropped(world.v4)
    assert world.run(*EXPIRE) == "1 null route ended\n"
    assert world.offender.connects(world.v4)
    assert world.offender.dropped(world.v4, source="192.0.2.11")
    assert world.offender.dropped(world.v6)
    assert world.run(*EXPIRE) == ""
    assert json.loads(world.run(*EXPIRE, "--json")) == {"ended": 0}


def test_a_guard_that_runs_is_left_alone(world: World):
    """It ends them by itself, and knows the end to the fraction of a second."""
    marks = Marks()
    with inside(world.server):
        marks.take("blackhole")
        assert world.run(*EXPIRE) == ""
        assert world.offender.dropped(world.v4)
        marks.release("blackhole")
        assert world.run(*EXPIRE)


def test_routes_of_others_stay(world: World):
    """In whatever table, and whatever their metric says."""
    for table in ("main", "99"):
        world.run(
            *("ip", "route", "add", "blackhole", "203.0.113.0/24", "table", table),
            *("metric", "1700000000"),
        )
    world.run(*EXPIRE)
    for table in ("main", "99"):
        assert "203.0.113.0/24" in world.run("ip", "route", "show", "table", table)


def test_without_privileges_it_says_so(world: World):
    """With exit code 77, as every command."""
    drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    with inside(world.server):
        done = subprocess.run([*drop, *EXPIRE], capture_output=True, text=True, timeout=60)
    assert done.returncode == 77
    assert "CAP_NET_ADMIN" in done.stderr
