"""The firewall's process is killed, as the kernel does when memory is short: Guard gets it back.

The real `guard up`, a real kernel, real packets. Rules stay meanwhile, and no count is lost.
"""

import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from netns import World, eventually, inside
from service import Service, dialogue, guard

SERVER, OFFENDER = "192.0.2.1", "192.0.2.10"
REFUSED = ("EHLO a.example", "MAIL FROM:<test@test.com>", "RCPT TO:<x@gmail.com>")
CONFIG = """
[state]
dir = "state"
[[listener]]
listen = ":25"
hostname = "mx.example.com"
relay_hosts = []
[delivery]
enabled = false
[protect]
reserved = false
own = false
[firewall]
backend = "{backend}"
ports = [25]
"""

pytestmark = pytest.mark.root


@pytest.fixture(params=["nftables", "iptables", "blackhole"])
def running(request, tmp_path):
    """Hosts, and `guard up` on the server as systemd starts it."""
    (tmp_path / "guard.toml").write_text(CONFIG.format(backend=request.param))
    with ExitStack() as stack:
        world = World(stack, ports=())
        service = Service("up", tmp_path / "guard.toml", ("ip", "netns", "exec", world.server))
        stack.callback(service.stop)
        service.start()
        assert eventually(lambda: world.offender.connects(SERVER)), service.said()
        yield world, service


def child_of(process: int) -> int:
    """The one child of a process, 0 for none."""
    try:
        return int(Path(f"/proc/{process}/task/{process}/children").read_text() or 0)
    except FileNotFoundError:
        return 0


def privileged(service: Service) -> tuple[int, int]:
    """The keeper of the firewall's process, and that process.

    To be killed in the other order: the one that works could be a keeper by then.
    """
    keeper = child_of(service.process.pid)
    return keeper, child_of(keeper)


def refused(world: World, times: int) -> None:
    """The offender asks for relay, and is refused."""
    with inside(world.offender.name):
        for _ in range(times):
            assert dialogue((SERVER, 25), *REFUSED)[-1].startswith("550")


def test_the_firewalls_process_is_killed(running):
    """Who was dropped stays so, and the next offender is dropped when it is back."""
    world, service = running
    service.ask("ban", "192.0.2.11")
    keeper, works = privileged(service)
    os.kill(works, signal.SIGKILL)
    assert world.offender.dropped(SERVER, source="192.0.2.11")
    refused(world, 5)
    assert eventually(lambda: world.offender.dropped(SERVER)), service.said()
    assert eventually(lambda: child_of(keeper) not in (0, works))
    assert eventually(lambda: service.ask("status")[0]["kernel"]["alarm"] == 0)
    assert service.process.poll() is None


def test_its_keeper_is_killed(running):
    """Nobody notices: not the next offender, and not who kills the other one after that."""
    world, service = running
    keeper, works = privileged(service)
    os.kill(keeper, signal.SIGKILL)
    assert eventually(lambda: child_of(works) != 0)
    refused(world, 5)
    assert eventually(lambda: world.offender.dropped(SERVER)), service.said()
    os.kill(child_of(works), signal.SIGKILL)
    service.ask("status")
    assert eventually(lambda: child_of(works) != 0)
    assert eventually(lambda: service.ask("unban", OFFENDER) is not None)
    assert eventually(lambda: world.offender.connects(SERVER)), service.said()
    assert service.process.poll() is None


def test_both_are_killed(running):
    """Guard ends, so that systemd starts it again: with all bans, and with all that it counted."""
    world, service = running
    service.ask("ban", "192.0.2.11")
    refused(world, 3)
    for process in reversed(privileged(service)):
        os.kill(process, signal.SIGKILL)
    # By itself where it watches the kernel, else over the next ban.
    assert eventually(lambda: ended_over_a_ban(service)), service.said()
    assert service.stop() == 69
    assert "the firewall's process is gone" in service.said()
    with inside(world.server), socket.create_server((SERVER, 25)):
        assert world.offender.dropped(SERVER, source="192.0.2.11")
        assert world.offender.connects(SERVER)
    service.start()
    assert world.offender.dropped(SERVER, source="192.0.2.11")
    refused(world, 2)
    assert eventually(lambda: world.offender.dropped(SERVER)), service.said()
    networks = {row["network"] for row in service.ask("bans")}
    assert networks >= {"192.0.2.11", OFFENDER}


def ended_over_a_ban(service: Service) -> bool:
    """Whether the service has ended; else it is asked for one more ban."""
    if service.process.poll() is None:
        guard("ban", "198.51.100.99", "-c", str(service.config))
    return service.process.poll() is not None


def test_without_somebody_who_starts_it_again_it_stays(tmp_path):
    """Mail goes on, bans stay, and `guard status` says what is wrong."""
    (tmp_path / "guard.toml").write_text(CONFIG.format(backend="nftables"))
    with ExitStack() as stack:
        world = World(stack, ports=())
        inner = ("ip", "netns", "exec", world.server, "sh", "-c")
        alone = 'exec env -u NOTIFY_SOCKET "$0" "$@"'
        service = Service("up", tmp_path / "guard.toml", (*inner, alone))
        stack.callback(service.stop)
        with pytest.raises(AssertionError, match="did not start"):  # it tells nobody that it did
            service.start(seconds=3)
        assert eventually(lambda: world.offender.connects(SERVER)), service.said()
        service.ask("ban", "192.0.2.11")
        for process in reversed(privileged(service)):
            os.kill(process, signal.SIGKILL)
        assert eventually(lambda: "process is gone" in service.ask("status")[0]["firewall"])
        assert world.offender.dropped(SERVER, source="192.0.2.11")
        refused(world, 1)
        assert service.process.poll() is None
