"""A back end has one Guard; a stranger who takes its name keeps nobody out."""

import socket
import subprocess
import sys

import pytest
from netns import World, inside

from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.firewall.sole import Marks, holder
from guard.roles import Unavailable

pytestmark = pytest.mark.root


def test_a_second_guard_is_told_who_is_there(world: World):
    """Until the first one ends. Another back end or namespace has a mark of its own."""
    first, second = Marks(), Marks(patience=0.2)
    with inside(world.server):
        first.take("nftables")
        first.take("nftables")
        with pytest.raises(Unavailable, match="another Guard"):
            second.take("nftables")
        second.take("iptables")
        assert holder("nftables")
        first.release("nftables")
        first.release("nftables")
        assert not holder("nftables")
        second.take("nftables")
        with inside(world.innocent.name):
            first.take("nftables")
        for name in ("nftables", "iptables"):
            first.release(name)
            second.release(name)


def test_the_firewalls_process_holds_the_mark_as_long_as_it_works(world: World):
    """Killed, it is started again and holds it again; closed, it does not."""
    with inside(world.server):
        firewall = separate(FirewallSettings(backend="nftables")).firewall
        assert holder("nftables")
        with pytest.raises(Unavailable, match="another Guard"):
            Marks(patience=0.2).take("nftables")
        firewall.close()
        assert not holder("nftables")


@pytest.mark.parametrize("how", ["listening", "silent"])
def test_a_stranger_who_takes_the_name_keeps_nobody_out(world: World, how: str):
    """Any user may; whoever could not keep a firewall is not believed."""
    code = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)\n"
        "s.bind('\\0guard-firewall-nftables')\n"
        "'listening' in sys.argv and s.listen()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    drop = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    with inside(world.server), subprocess.Popen(
        [*drop, sys.executable, "-c", code, how],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as stranger:  # fmt: skip
        assert stranger.stdout.readline() == b"ready\n"
        marks = Marks()
        marks.take("nftables")
        assert not holder("nftables")
        stranger.stdin.close()


def test_a_process_that_cannot_keep_a_firewall_takes_no_mark(world: World):
    """Its back end is a dry run, whoever else is there."""
    code = (
        "from guard.firewall.sole import *\n"
        "Marks(patience=0).take('nftables'); print(holder('nftables'))"
    )
    drop = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
    marks = Marks()
    with inside(world.server):
        marks.take("nftables")
        said = world.run(*drop, sys.executable, "-c", code)
        assert int(said) > 0
        marks.release("nftables")
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="refused"):
            probe.connect("\0guard-firewall-nftables")
