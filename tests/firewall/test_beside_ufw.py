"""Beside the real ufw: its rules are as without Guard, and nobody who is banned gets in.

ufw runs in the server's namespaces, out of a folder of its own and with a /run of its own.
"""

import shutil
import time
from pathlib import Path

import pytest
from netns import World, inside
from packetfilters import PACKET_FILTERS
from support import PROJECT, Nobody, need

from guard.events import Block, Claim
from guard.firewall.mirror import Mirror
from guard.lib.networks import parse_network as net
from guard.stores.embedded_ledger import EmbeddedLedger

pytestmark = pytest.mark.root
_UNPACKED = PROJECT / ".venv" / "servers" / "ufw"
# ufw takes whichever iptables there is; one of both make-ups can stand in for the other.
_BOX = """
mount --bind "$0/run" /run
mount --bind "/usr/sbin/xtables-$1-multi" /usr/sbin/xtables-nft-multi
shift
export PYTHONPATH="$0/usr/lib/python3/dist-packages"
exec /usr/bin/python3 -B "$0/usr/sbin/ufw" --rootdir="$0" --datadir="$0" "$@"
"""


class Ufw:
    """ufw on the server, which lets mail in, and the port that witnesses are refused at."""

    def __init__(self, world: World, folder: Path, make: str) -> None:
        self._world, self._folder, self._make = world, folder, make
        shutil.copytree(_UNPACKED, folder, dirs_exist_ok=True)
        (folder / "run").mkdir()
        shared = folder / "usr" / "share" / "ufw"
        for file in (shared / "ufw.conf", *shared.glob("*.init"), *shared.glob("iptables/*.rules")):
            shutil.copy(file, folder / "etc" / "ufw")
        for port in ("25/tcp", "9/tcp"):
            self.run("allow", port)

    def lay_before(self, rules: str) -> None:
        """Has it lay more rules, as an operator writes them into its files."""
        with (self._folder / "etc" / "ufw" / "before.rules").open("a") as file:
            file.write(rules)

    def run(self, *arguments: str) -> str:
        """What ufw says."""
        box = ("unshare", "-m", "--propagation", "private", "sh", "-e", "-c", _BOX)
        return self._world.run(*box, str(self._folder), self._make, *arguments)


@pytest.fixture
def ufw(request, world: World, tmp_path: Path) -> Ufw:
    """ufw, not enabled yet, with one make-up of iptables."""
    need(_UNPACKED.is_dir(), "ufw")
    return Ufw(world, tmp_path, getattr(request, "param", "nft"))


def theirs(world: World) -> list[str]:
    """Every rule that is not of Guard."""
    listed = []
    for program in ("iptables", "ip6tables"):
        for make in ("nft", "legacy"):
            for table in ("filter", "nat", "mangle", "raw"):
                listed += world.run(f"{program}-{make}", "-t", table, "-S").splitlines()
    return sorted(line for line in listed if "GUARD" not in line and "guard" not in line)


@pytest.mark.parametrize("backend", PACKET_FILTERS)
@pytest.mark.parametrize(
    ("ufw", "first"), [("nft", "ufw"), ("nft", "guard"), ("legacy", "ufw")], indirect=["ufw"]
)
def test_ufw_and_guard_leave_each_other_alone(world: World, ufw: Ufw, backend: str, first: str):
    """Whoever starts first, and through every command that lays ufw's rules anew."""
    ufw.run("--force", "enable")
    expected = theirs(world)
    assert any("ufw-user-input" in rule for rule in expected)
    ufw.run("disable")
    disabled = theirs(world)
    if first == "ufw":
        ufw.run("--force", "enable")
    ledger, firewall = EmbeddedLedger(None, 3600.0), PACKET_FILTERS[backend]()
    ledger.claim([Claim(net("192.0.2.10"), "manual", "", 1.0, None)], 1.0)
    with inside(world.server):
        mirror = Mirror(ledger, firewall, Nobody())
        mirror.start(time.time())
        if first == "guard":
            ufw.run("--force", "enable")
        for command in ("status", "reload", "disable", "enable"):
            ufw.run(*(["--force"] if command == "enable" else []), command)
            assert theirs(world) == (disabled if command == "disable" else expected)
            assert world.offender.dropped(world.v4), f"after ufw {command}"
            assert world.innocent.connects(world.v4), f"after ufw {command}"
            report = mirror.reconcile(time.time())
            assert not report.faults
            assert not report.warnings
            assert report.missing == report.foreign == 0
        assert world.offender.connects(world.v4, source="192.0.2.11")
        assert world.offender.connects(world.v4, 80) is False  # ufw's own work goes on
        firewall.close(clear=True)
    assert theirs(world) == expected


@pytest.mark.parametrize("backend", ["nftables", "iptables-nft"])
def test_a_rule_of_ufws_that_lets_mail_in_first_is_told(world: World, ufw: Ufw, backend: str):
    """Where one drop is not enough; and Guard's rule is first again with its next start."""
    ufw.run("--force", "enable")
    firewall = PACKET_FILTERS[backend]()
    with inside(world.server):
        firewall.open()
        firewall.apply([Block(net("192.0.2.10"), None)], [], 1.0)
        ufw.lay_before("*raw\n-I PREROUTING -p tcp --dport 25 -j ACCEPT\nCOMMIT\n")
        ufw.run("reload")
        if backend == "nftables":
            assert not firewall.warnings()
        else:
            assert "ACCEPT" in firewall.warnings()[0]
            assert world.offender.connects(world.v4)
            firewall.open()
        assert world.offender.dropped(world.v4)
        assert not firewall.warnings()
        firewall.close(clear=True)
