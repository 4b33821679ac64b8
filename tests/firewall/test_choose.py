"""The choice is what really works, and the reason says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from netns import World, inside

from guard.events import Block
from guard.firewall import commands
from guard.firewall.choose import AUTOMATIC, MAKERS, choose
from guard.firewall.settings import FirewallSettings
from guard.lib.networks import parse_network
from guard.roles import Refused


def test_the_default_blocks_nobody():
    """Without a configuration nothing is touched, and the reason says it."""
    firewall, reason = choose(FirewallSettings())
    assert firewall.name == "dry-run"
    assert "nobody is blocked" in reason


def test_every_back_end_of_the_settings_can_be_made():
    """A name in guard.toml is a name in the table, and the other way round."""
    import typing

    hint = typing.get_type_hints(FirewallSettings)["backend"]
    assert {*MAKERS, "auto"} == set(typing.get_args(hint))
    assert set(AUTOMATIC) < set(MAKERS)


@pytest.mark.root
def test_auto_takes_nftables_where_the_kernel_has_it(world: World):
    """And says which ports it closes."""
    with inside(world.server):
        firewall, reason = choose(FirewallSettings(backend="auto", ports=(25, 587)))
        assert firewall.name == "nftables"
        assert "TCP 25, 587" in reason
        firewall.close()


@pytest.mark.root
def test_auto_takes_iptables_where_nft_is_missing(world: World, monkeypatch: pytest.MonkeyPatch):
    """And says what nftables lacks."""
    real = commands.find
    monkeypatch.setattr(commands, "find", lambda name: None if name == "nft" else real(name))
    with inside(world.server):
        firewall, reason = choose(FirewallSettings(backend="auto", ports="all"))
        assert firewall.name == "iptables"
        assert "install the package nftables" in reason
        assert "every port" in reason
        firewall.close()


_NFT = """#!/bin/sh
# An nft of a kernel without nft_fib_inet: what it says there, word for word.
given=$(cat)
case $given in *fib*)
    echo "/dev/stdin:9:1-2: Error: Could not process rule: No such file or directory" >&2
    echo "add rule inet guard blocked ip saddr @v4_addresses fib daddr type local drop" >&2
    exit 1
esac
printf '%s\\n' "$given" | {nft} "$@"
"""


@pytest.mark.root
def test_auto_takes_iptables_where_the_kernel_s_nftables_cannot_tell_its_own(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Without nft_fib: nothing is left of the attempt, and the reason names module and setting."""
    real = commands.find
    (tmp_path / "nft").write_text(_NFT.replace("{nft}", str(real("nft"))))
    (tmp_path / "nft").chmod(0o755)
    monkeypatch.setattr(
        commands, "find", lambda name: str(tmp_path / "nft") if name == "nft" else real(name)
    )
    with inside(world.server):
        firewall, reason = choose(FirewallSettings(backend="auto"))
        assert firewall.name == "iptables"
        assert "nft_fib_inet" in reason
        assert "forwarded = true" in reason
        assert "table inet guard" not in world.run("nft", "list", "ruleset")
        firewall.apply([Block(parse_network(world.offender.v4), None)], [], 1.0)
        assert world.offender.dropped(world.v4)
        firewall.close(clear=True)
        # Where nothing has to be told apart there is nothing to lack.
        firewall, _ = choose(FirewallSettings(backend="auto", forwarded=True))
        assert firewall.name == "nftables"
        firewall.close(clear=True)


_ASK = """
import sys
from guard.firewall.choose import choose
from guard.firewall.settings import FirewallSettings
from guard.roles import Forbidden
try:
    print(*choose(FirewallSettings(backend=sys.argv[1])), sep="|")
except Forbidden as error:
    print("refused", error, sep="|")
"""


def unprivileged(backend: str) -> str:
    """What a process without CAP_NET_ADMIN chooses."""
    drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", _ASK, backend], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.root
def test_without_privileges_auto_is_a_dry_run_that_says_why():
    """`guard up` goes on, and the operator reads what is missing."""
    said = unprivileged("auto")
    assert "DryRun" in said
    assert "needs root or CAP_NET_ADMIN" in said
    assert said.count("CAP_NET_ADMIN") == 1


@pytest.mark.root
@pytest.mark.parametrize("backend", ["nftables", "iptables"])
def test_without_privileges_a_back_end_that_was_named_is_refused(backend: str):
    """Who asks for a real firewall is not given a pretence."""
    said = unprivileged(backend)
    assert said.startswith("refused|")
    assert "needs root or CAP_NET_ADMIN" in said


def test_settings_name_what_contradicts():
    """No ports at all and a reconcile without pause are faults."""
    found = dict(FirewallSettings(ports=(), reconcile=0.1).faults())
    assert set(found) == {"ports", "reconcile"}
    assert FirewallSettings(ports="all").closed is None
    assert FirewallSettings(ports=(25, 25)).closed == (25,)


@pytest.mark.root
def test_without_python_iptables_the_extra_is_named_and_nothing_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """`iptables` names what to install, before it has made a single set."""
    monkeypatch.setitem(sys.modules, "iptc", None)
    with inside(world.server), pytest.raises(Refused, match=r"guard-smtp\[iptables\]"):
        choose(FirewallSettings(backend="iptables"))
    assert not world.run("ipset", "list", "-n")
