"""Beside the real firewalld: its rules are as without Guard, and nobody who is banned gets in.

firewalld runs in the server's namespaces, with a bus, an /etc/firewalld and a /run of its own. It
is laid over /usr and /etc there, not installed: that would close the machine's ports at its next
boot.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import World, eventually, inside
from packetfilters import PACKET_FILTERS
from support import PROJECT, Nobody, need

from guard.events import Claim
from guard.firewall.mirror import Mirror, Report
from guard.lib.networks import parse_network as net
from guard.stores.embedded_ledger import EmbeddedLedger

pytestmark = pytest.mark.root
_UNPACKED = PROJECT / ".venv" / "servers" / "firewalld"
_BUS = """
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <policy context="default">
    <allow send_destination="*"/> <allow receive_sender="*"/> <allow own="*"/>
  </policy>
</busconfig>
"""
# All of it ends with this process, which is the first of its own.
_BOX = """
for folder in usr etc; do
    mount -t overlay overlay -o "lowerdir=$1/$folder:/$folder" "/$folder"
done
mount --bind "$0/etc" /etc/firewalld
mount --bind "$0/run" /run
mount --bind "$0/log" /var/log
mount -t proc proc /proc
exec 2>/run/firewalld.log
dbus-daemon --config-file="$0/bus.conf" --nofork --nopidfile &
while true; do
    rm -f /run/stopped
    firewalld --nofork --nopid
    touch /run/stopped
    while [ -e /run/stopped ]; do sleep 0.05; done
done
"""


class Firewalld:
    """firewalld on the server, which lets mail in, and the port that witnesses are refused at."""

    def __init__(self, world: World, folder: Path, backend: str) -> None:
        self._world, self._folder = world, folder
        shutil.copytree(_UNPACKED / "etc" / "firewalld", folder / "etc")
        for name in ("run/dbus", "log"):
            (folder / name).mkdir(parents=True)
        (folder / "bus.conf").write_text(_BUS)
        conf = folder / "etc" / "firewalld.conf"
        conf.write_text(
            re.sub(r"(?m)^FirewallBackend=.*", f"FirewallBackend={backend}", conf.read_text())
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, the first time with its ports opened."""
        if self._process is not None:
            (self._folder / "run" / "stopped").unlink()
        else:
            box = ("unshare", "-m", "--propagation", "private", "--pid", "--fork", "--kill-child")
            with inside(self._world.server):
                self._process = subprocess.Popen(
                    [*box, "sh", "-e", "-c", _BOX, self._folder, _UNPACKED]
                )
        assert eventually(lambda: self.ask("--state").strip() == "running", 30), self.said()

    def do(self, command: str) -> None:
        """`start`, `stop`, or what firewall-cmd is told."""
        if command in ("start", "stop"):
            getattr(self, command)()
        else:
            assert self.ask(command).strip() == "success", self.said()

    def ask(self, *arguments: str) -> str:
        """What firewall-cmd says."""
        return self._run("firewall-cmd", *arguments)

    def stop(self) -> None:
        """Stops it as its unit does."""
        self._run("pkill", "-x", "firewalld")
        assert eventually((self._folder / "run" / "stopped").exists), self.said()

    def _run(self, *command: str) -> str:
        """What a program says among the processes of its own."""
        process = self._process.pid
        first = Path(f"/proc/{process}/task/{process}/children").read_text().strip()
        return self._world.run("nsenter", "-t", first, "-m", "-p", *command, check=False)

    def said(self) -> str:
        """Its log."""
        return (self._folder / "run" / "firewalld.log").read_text()

    def end(self) -> None:
        """Ends it with all that it started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(params=["nftables", "iptables"])
def firewalld(request, world: World, tmp_path: Path) -> Iterator[Firewalld]:
    """firewalld, not started yet, with each of its own back ends."""
    need(_UNPACKED.is_dir(), "firewalld")
    made = Firewalld(world, tmp_path, request.param)
    yield made
    made.end()


def theirs(world: World) -> list[str]:
    """Every rule of firewalld, in nftables and in iptables, but for numbers that it makes up."""
    listed = []
    for table in world.run("nft", "-s", "list", "tables").splitlines():
        if table == "table inet firewalld":
            listed += world.run("nft", "-s", "list", table).splitlines()
    for program in ("iptables", "ip6tables"):
        for make in ("nft", "legacy"):
            for table in ("filter", "nat", "mangle", "raw"):
                listed += world.run(f"{program}-{make}", "-t", table, "-S").splitlines()
    return sorted(line for line in listed if "GUARD" not in line)


@pytest.mark.parametrize("backend", PACKET_FILTERS)
@pytest.mark.parametrize("first", ["firewalld", "guard"])
def test_firewalld_and_guard_leave_each_other_alone(
    world: World, firewalld: Firewalld, backend: str, first: str
):
    """Whoever starts first, and through every command that lays firewalld's rules anew.

    firewalld also flushes what others have in the iptables that it takes: Guard's rules are back
    at its second look.
    """
    firewalld.start()
    for port in ("25/tcp", "9/tcp"):
        firewalld.ask("--permanent", f"--add-port={port}")
    firewalld.ask("--reload")
    expected = theirs(world)
    assert expected
    firewalld.stop()
    stopped = theirs(world)
    if first == "firewalld":
        firewalld.start()
    now = time.time()
    ledger, firewall = EmbeddedLedger(None, 3600.0), PACKET_FILTERS[backend]()
    ledger.claim([Claim(net("192.0.2.10"), "manual", "", 1.0, None)], 1.0)
    with inside(world.server):
        mirror = Mirror(ledger, firewall, Nobody())
        mirror.start(now)
        if first == "guard":
            firewalld.start()
        for turn, command in enumerate(("--reload", "--complete-reload", "stop", "start"), 1):
            firewalld.do(command)
            if backend != "iptables-nft":
                assert world.offender.dropped(world.v4), f"after {command}, nobody repairs"
            mirror.step(now + 3 * turn)
            assert world.offender.dropped(world.v4), f"after {command}"
            assert world.innocent.connects(world.v4), f"after {command}"
            assert mirror.reconcile(now + 3 * turn) == Report(1, 1, 0, 0)
            assert theirs(world) == (stopped if command == "stop" else expected)
        assert world.innocent.connects(world.v4, 80) is False  # firewalld's own work goes on
        firewall.close(clear=True)
    assert theirs(world) == expected
