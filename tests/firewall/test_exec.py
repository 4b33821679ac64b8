"""The operator's program is told exactly what the role says, and believed only when it is clear.

Its packets are in test_backends.py, with the program that the documentation prints.
"""

import sys
import time
from pathlib import Path

import pytest
from netns import World, inside
from support import documented_firewall

from guard.events import Block
from guard.firewall.exec import Exec
from guard.lib.networks import parse_network as net
from guard.roles import Refused, Unavailable

A, B = net("192.0.2.1"), net("2001:db8::/64")
_PROGRAM = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
if (folder / "broken").exists():
    sys.exit("the router said \\x1b[31mno")
with (folder / "heard").open("a") as heard:
    heard.write(sys.argv[2] + "\\n" + (sys.stdin.read() if sys.argv[2] != "list" else ""))
if sys.argv[2] == "list":
    print((folder / "list").read_text())
"""


@pytest.fixture
def firewall(tmp_path: Path) -> Exec:
    """One whose program writes down what it hears."""
    (tmp_path / "program.py").write_text(_PROGRAM)
    return Exec([sys.executable, str(tmp_path / "program.py"), str(tmp_path)])


def heard(folder: Path) -> list[str]:
    """What the program heard so far."""
    return (folder / "heard").read_text().splitlines()


def test_a_change_is_one_run_with_releases_first(firewall: Exec, tmp_path: Path):
    """Seconds are rounded up; what is over already is a release; nothing to do is no run."""
    firewall.open()
    firewall.apply([Block(A, 110.2), Block(B, None), Block(net("10.0.0.0/8"), 99.0)], [A], 100.0)
    firewall.apply([], [], 100.0)
    assert heard(tmp_path) == [
        *("open", "apply", "release 10.0.0.0/8"),
        *("block 192.0.2.1 11", "block 2001:db8::/64 forever"),
    ]


def test_replace_and_clear_are_told(firewall: Exec, tmp_path: Path):
    """An empty replace is told too: it releases everybody."""
    firewall.replace(iter([Block(B, None)]), 100.0)
    firewall.replace([], 100.0)
    firewall.close()
    firewall.close(clear=True)
    assert heard(tmp_path) == ["replace", "block 2001:db8::/64 forever", "replace", "clear"]


def test_what_is_over_is_released_once(firewall: Exec, tmp_path: Path):
    """At its last end, and again when the program failed the first time."""
    firewall.apply([Block(A, 110.0)], [], 100.0)
    firewall.apply([Block(A, 120.0)], [], 100.0)
    firewall.expire(119.0)
    (tmp_path / "broken").touch()
    with pytest.raises(Unavailable):
        firewall.expire(120.0)
    (tmp_path / "broken").unlink()
    firewall.expire(121.0)
    firewall.expire(122.0)
    assert heard(tmp_path)[-2:] == ["apply", "release 192.0.2.1"]
    assert heard(tmp_path).count("release 192.0.2.1") == 1


def test_the_list_is_read_with_or_without_ends(firewall: Exec, tmp_path: Path):
    """An end that is not printed is the one that was told; a stranger's is for ever."""
    firewall.apply([Block(A, 160.0)], [], 100.0)
    (tmp_path / "list").write_text("192.0.2.1\n\n2001:db8::/64 forever\n10.0.0.0/8 30\n10.1.1.1\n")
    assert firewall.blocked(100.0) == {
        A: 160.0,
        B: None,
        net("10.0.0.0/8"): 130.0,
        net("10.1.1.1"): None,
    }


@pytest.mark.parametrize("line", ["nonsense", "192.0.2.1 soon", "192.0.2.1/24", "\x1b[31m"])
def test_a_list_that_is_not_understood_is_an_error(firewall: Exec, tmp_path: Path, line: str):
    """Guard does not guess, and quotes the line so that a terminal is safe."""
    (tmp_path / "list").write_text(line)
    with pytest.raises(Unavailable) as caught:
        firewall.blocked(100.0)
    assert str(caught.value).isprintable()


def test_a_failure_is_told_in_the_programs_words(firewall: Exec, tmp_path: Path):
    """What it wrote on stderr reaches the operator, escaped."""
    (tmp_path / "broken").touch()
    with pytest.raises(Unavailable, match="the router said"):
        firewall.apply([Block(A, None)], [], 1.0)
    with pytest.raises(Refused) as caught:
        firewall.open()
    assert str(caught.value).isprintable()


def test_a_program_that_is_not_there_is_refused():
    """At the start, by name."""
    with pytest.raises(Refused, match="/no/such/program"):
        Exec(["/no/such/program"]).open()


@pytest.mark.root
def test_rules_that_somebody_removed_are_back_at_the_next_reconcile(world: World):
    """And sets: the program that the documentation prints makes what is not there."""
    firewall, now = Exec([str(documented_firewall())]), time.time()
    with inside(world.server):
        firewall.open()
        firewall.apply([Block(net("192.0.2.10"), None)], [], now)
        world.run("iptables", "-F", "INPUT")
        assert world.offender.connects(world.v4)
        assert set(firewall.blocked(now)) == {net("192.0.2.10")}
        assert world.offender.dropped(world.v4)
        world.run("iptables", "-F", "INPUT")
        world.run("ipset", "destroy", "mine4")
        assert firewall.blocked(now) == {}
        firewall.apply([Block(net("192.0.2.10"), None)], [], now)
        assert world.offender.dropped(world.v4)
        firewall.close(clear=True)
