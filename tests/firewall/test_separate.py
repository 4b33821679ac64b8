"""The firewall's process does what it is told, survives, and leaves this one without privileges.

Its packets are in test_backends.py.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import World, eventually, inside

from guard.events import Block
from guard.firewall import wire
from guard.firewall.abilities import Capped, Checked, Counting, Untimed, Watched
from guard.firewall.separate import Separated, separate
from guard.firewall.settings import FirewallSettings
from guard.firewall.sole import Marks
from guard.firewall.wire import Verb
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net
from guard.roles import Lost, Refused, Unavailable

pytestmark = pytest.mark.root
A = net("192.0.2.10")


@pytest.fixture
def firewall(world: World) -> Iterator[Separated]:
    """nftables in a process of its own, in the server's namespace."""
    with inside(world.server):
        made = separate(FirewallSettings(backend="nftables")).firewall
        assert isinstance(made, Separated)
        yield made
        made.close()


def worker(firewall: Separated) -> int:
    """The process that really holds the firewall: the child of the one that was started."""
    return child_of(firewall._process.pid)


def test_a_dry_run_needs_no_process():
    """Nothing is started for it."""
    assert separate(FirewallSettings()).firewall.name == "dry-run"


def test_it_has_the_abilities_of_its_back_end(firewall: Separated, world: World):
    """The mirror asks by type, and is told what nftables can."""
    assert firewall.name == "nftables"
    assert "TCP 25" in firewall.reason
    for ability, expected in ((Checked, 1), (Watched, 1), (Counting, 1), (Untimed, 0), (Capped, 0)):
        assert isinstance(firewall, ability) is bool(expected), ability
    assert firewall.faults() == firewall.warnings() == []
    assert firewall.disturbed() is False
    world.run("nft", "flush", "ruleset")
    assert firewall.disturbed() is True
    assert "removed" in firewall.faults()[0]
    firewall.open()
    assert firewall.dropped()["v4_addresses"] == (0, 0)
    with inside(world.server):
        routes = separate(FirewallSettings(backend="blackhole")).firewall
        assert isinstance(routes, Untimed)
        routes.apply([Block(A, 50.0)], [], 40.0)
        routes.expire(50.0)
        assert routes.blocked(50.0) == {}
        routes.close()
        sets = separate(FirewallSettings(backend="iptables")).firewall
        assert isinstance(sets, Capped)
        sets.close()


def test_its_process_holds_the_networks_administration_and_no_more(firewall: Separated):
    """CAP_NET_ADMIN and CAP_NET_RAW; no program that it runs can gain another."""
    status = Path(f"/proc/{worker(firewall)}/status").read_text()
    for mask in ("CapEff", "CapPrm", "CapBnd"):
        assert f"{mask}:\t0000000000003000" in status
    assert "NoNewPrivs:\t1" in status


def test_many_networks_pass(firewall: Separated):
    """Fifty thousand blocks there, and back."""
    now = time.time()
    wanted = {Network(4, 0x0B000000 + n, 32): None for n in range(50_000)}
    firewall.replace((Block(*item) for item in wanted.items()), now)
    assert firewall.blocked(now) == wanted


def test_a_killed_process_is_started_again_and_said(firewall: Separated, world: World):
    """Blocks stay; the next call says that its fate is unknown, the one after works."""
    now = time.time()
    firewall.apply([Block(A, None)], [], now)
    before = worker(firewall)
    os.kill(before, signal.SIGKILL)
    assert world.offender.dropped(world.v4)
    with pytest.raises(Unavailable, match="restarted"):
        firewall.apply([], [A], now)
    assert eventually(lambda: worker(firewall) not in (0, before))
    firewall.open()
    firewall.apply([], [A], now)
    assert world.offender.connects(world.v4)


def child_of(process: int) -> int:
    """The one child of a process, 0 for none."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/children").read_text() or 0)
    except FileNotFoundError:
        return 0


def kill(process: int) -> None:
    """Kills a process, which somebody else waits for, and sees it gone."""
    os.kill(process, signal.SIGKILL)
    status = Path(f"/proc/{process}/stat")
    assert eventually(lambda: not status.exists() or ") Z " in status.read_text())


def test_when_its_keeper_is_killed_another_takes_its_place(firewall: Separated, world: World):
    """Again and again, whichever of the two it is; who asks for bans need not even know."""
    now = time.time()
    keeper, works = firewall._process.pid, worker(firewall)
    for turn in range(3):
        kill(keeper)
        # Who worked keeps; a child of it works, with all that the other had.
        assert eventually(lambda works=works: child_of(works) != 0)
        keeper, works = works, child_of(works)
        firewall.apply([Block(A, None)], [], now)
        assert world.offender.dropped(world.v4)
        assert firewall.disturbed() is False, f"nothing was laid anew in turn {turn}"
        firewall.apply([], [A], now)
        assert world.offender.connects(world.v4)
    kill(works)
    assert eventually(lambda: child_of(keeper) not in (0, works))
    with pytest.raises(Unavailable, match="restarted"):
        firewall.blocked(now)
    firewall.apply([Block(A, None)], [], now)
    assert world.offender.dropped(world.v4)
    last = child_of(keeper)
    firewall.close()
    assert eventually(lambda: not any(Path(f"/proc/{each}").exists() for each in (keeper, last)))


def test_a_change_that_was_being_made_is_made_when_the_keeper_dies(firewall: Separated):
    """In the middle of fifty thousand: what comes back is the answer, not an error."""
    wanted = {Network(4, 0x0B000000 + n, 32): None for n in range(50_000)}
    keeper, works = firewall._process.pid, worker(firewall)
    firewall.post([Block(*item) for item in wanted.items()], [], 1.0)
    kill(keeper)
    assert eventually(lambda: child_of(works) != 0)
    firewall.settle()
    assert firewall.blocked(1.0) == wanted


def test_a_keeper_holds_nothing_but_the_way_to_its_caller(firewall: Separated):
    """No lock and no socket of the one that works: another could not begin anew beside them."""
    works = worker(firewall)
    kill(firewall._process.pid)
    assert eventually(lambda: child_of(works) != 0)
    held = Path(f"/proc/{works}/fd")
    assert eventually(lambda: len(list(held.iterdir())) == 4)  # with 0, 1 and 2


def test_a_firewall_that_cannot_begin_again_yet_says_why(world: World):
    """It is tried again, and works when it can. Here another Guard has taken the back end."""
    marks = Marks()
    with inside(world.server):
        firewall = separate(FirewallSettings(backend="nftables")).firewall
        kill(worker(firewall))
        marks.take("nftables")
        with pytest.raises(Unavailable, match=r"cannot begin again yet: another Guard"):
            firewall.apply([Block(A, None)], [], 1.0)
        marks.release("nftables")
        assert eventually(lambda: again(firewall), 30)
        assert world.offender.dropped(world.v4)
        firewall.close(clear=True)


def again(firewall: Separated) -> bool:
    """Whether a ban is laid now."""
    try:
        firewall.apply([Block(A, None)], [], 1.0)
    except Unavailable:
        return False
    return True


def test_when_all_of_it_is_killed_the_caller_is_told(firewall: Separated):
    """Nobody with privileges is left to bring it back, and nobody is waited for."""
    os.kill(worker(firewall), signal.SIGKILL)  # first: it could be the keeper by then
    firewall._process.kill()
    firewall._process.wait()
    with pytest.raises(Lost, match="gone"):
        firewall.blocked(1.0)
    with pytest.raises(Unavailable, match="gone"):
        firewall.close(clear=True)
    firewall.close()


def test_it_ends_when_the_other_side_does(firewall: Separated):
    """A crash of the process that reads strangers' bytes leaves no privileged one behind."""
    child = worker(firewall)
    firewall._socket.close()
    firewall._process.wait(10)
    assert not Path(f"/proc/{child}").exists()


def test_it_ends_too_when_the_other_side_dies_over_a_question(firewall: Separated):
    """Killed while it waits for an answer, which then reaches nobody."""
    os.kill(worker(firewall), signal.SIGSTOP)
    stopped = worker(firewall)
    for number in range(1, 5):
        for packet in wire.packets(number, Verb.FAULTS, b""):
            firewall._socket.send(packet)
    firewall._socket.close()
    os.kill(stopped, signal.SIGCONT)
    assert firewall._process.wait(20) == 0
    assert not Path(f"/proc/{stopped}").exists()


def test_nonsense_is_refused_and_changes_nothing(firewall: Separated):
    """A taken-over caller can block and release; whatever else it sends is refused."""
    firewall.apply([Block(A, None)], [], 1.0)
    for junk in (b"", b"\0", b"\xff" * 400, b"\0\0\0\1\x02\x03" + b"x" * 50):
        if junk:
            firewall._socket.send(junk)
    with pytest.raises(Refused, match="list of networks"):
        firewall.ask(Verb.REPLACE, b"junk")
    with pytest.raises(Refused, match="not for the firewall"):
        firewall.ask(Verb.HELLO)
    assert firewall.blocked(1.0) == {A: None}


def test_a_back_end_that_does_not_work_is_refused_in_its_own_words(monkeypatch):
    """The reason comes from over there."""
    with pytest.raises(Refused, match="/no/such"):
        separate(FirewallSettings(backend="exec", command=("/no/such",)))


_WITHOUT = """
import subprocess, sys, time
from guard.events import Block
from guard.firewall import privileges
from guard.firewall.separate import separate
from guard.firewall.settings import FirewallSettings
from guard.firewall.sole import Marks
from guard.lib.networks import parse_network
firewall = separate(FirewallSettings(backend=sys.argv[1])).firewall
privileges.keep_only(privileges.SERVICE)
own = subprocess.run(["nft", "list", "ruleset"], capture_output=True)
print("own", own.returncode)
firewall.apply([Block(parse_network("192.0.2.10"), None)], [], 1.0)
print(*firewall.blocked(1.0))
firewall.close()
"""


@pytest.mark.parametrize("backend", ["nftables", "iptables", "blackhole", "auto"])
def test_the_caller_gives_its_privileges_up_and_bans_all_the_same(world: World, backend: str):
    """The process that reads strangers' bytes cannot touch the firewall, except to ban."""
    said = world.run(sys.executable, "-c", _WITHOUT, backend)
    assert said.splitlines()[0] != "own 0"
    assert said.split()[-1] == "192.0.2.10"
    assert world.offender.dropped(world.v4)
    assert world.innocent.connects(world.v4)


def test_without_privileges_auto_is_a_dry_run():
    """The process that was started for it is gone again."""
    code = (
        "from guard.firewall.separate import separate\n"
        "from guard.firewall.settings import FirewallSettings\n"
        "print(*separate(FirewallSettings(backend='auto')))"
    )
    drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "DryRun" in done.stdout
    assert "CAP_NET_ADMIN" in done.stdout
