"""Protection and lists as they are lived: the real `guard up`, a real kernel, real packets."""

from contextlib import ExitStack

import pytest
from netns import World, eventually
from service import Service, guard

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
senders = false
refresh = 0
allow_files = ["allow.txt"]
{protect}
[firewall]
backend = "nftables"
ports = [25]
[[feed]]
type = "plain"
name = "mail"
path = "mail.txt"
min_entries = 0
every = "1m"
[[feed]]
type = "plain"
name = "everything"
path = "everything.txt"
min_entries = 0
every = "1m"
ports = "all"
"""
SERVER, OFFENDER = "192.0.2.1", "192.0.2.10"

pytestmark = pytest.mark.root


@pytest.fixture
def running(tmp_path):
    """Hosts, and `guard up` on the server, which also listens on port 80."""
    (tmp_path / "guard.toml").write_text(CONFIG.format(protect=""))
    for name in ("allow.txt", "mail.txt", "everything.txt"):
        (tmp_path / name).write_text("# nobody\n")
    with ExitStack() as stack:
        world = World(stack, ports=(80,))
        service = Service("up", tmp_path / "guard.toml", ("ip", "netns", "exec", world.server))
        stack.callback(service.stop)
        service.start()
        assert eventually(lambda: world.offender.connects(SERVER)), service.said()
        yield world, service, tmp_path


def test_whoever_is_allowed_is_let_in_at_once(running):
    """By hand, by a file, by guard.toml; out of an address's ban and out of a range's."""
    world, service, folder = running
    service.ask("ban", OFFENDER)
    service.ask("allow", OFFENDER, "--reason", "a customer")
    # The command's answer means that the kernel has it.
    assert world.offender.connects(SERVER)
    service.ask("disallow", OFFENDER)
    assert world.offender.dropped(SERVER)
    service.ask("unban", OFFENDER)
    service.ask("ban", "192.0.2.0/24")
    assert world.offender.dropped(SERVER)
    (folder / "allow.txt").write_text(f"{OFFENDER} # he is back\n")
    assert eventually(lambda: world.offender.connects(SERVER)), service.said()
    assert world.offender.dropped(SERVER, source="192.0.2.11")
    (folder / "allow.txt").write_text("# nobody\n")
    assert eventually(lambda: world.offender.dropped(SERVER)), service.said()
    (folder / "guard.toml").write_text(CONFIG.format(protect=f'allow = ["{OFFENDER}"]'))
    assert eventually(lambda: world.offender.connects(SERVER)), service.said()
    service.ask("unban", "192.0.2.0/24")
    assert world.offender.connects(SERVER, source="192.0.2.11")


def test_a_pause_lets_everybody_in_and_outlives_a_restart(running):
    """The ledger keeps its claims; after `resume` the kernel has them again."""
    world, service, _ = running
    service.ask("ban", OFFENDER)
    assert world.offender.dropped(SERVER)
    service.ask("pause", "1h")
    assert world.offender.connects(SERVER)
    service.stop()
    service.start()
    assert world.offender.connects(SERVER)
    assert service.ask("bans")[0]["network"] == OFFENDER
    service.ask("resume")
    assert world.offender.dropped(SERVER)


def test_lists_close_their_ports_and_let_go(running):
    """One closes the port of mail, one every port; who leaves a list is free at that sync."""
    world, service, folder = running
    for name, mail, web in (("mail", False, True), ("everything", False, False)):
        path = folder / f"{name}.txt"
        path.write_text(f"{OFFENDER}\n10.9.9.9\n")
        # It is followed by itself too, but nobody waits a minute for a test.
        done = guard("feeds", "sync", name, "--json", "-c", str(service.config))
        assert done.returncode == 0 and done.stdout, done.stderr + service.said()
        assert world.offender.connects(SERVER, 25) is mail
        assert world.offender.connects(SERVER, 80) is web
        assert world.innocent.connects(SERVER, 80)
        path.write_text("10.9.9.9\n")
        done = guard("feeds", "sync", name, "--json", "-c", str(service.config))
        assert done.returncode == 0 and done.stdout, done.stderr + service.said()
        assert world.offender.connects(SERVER, 25)
        assert world.offender.connects(SERVER, 80)
    status = guard("status", "-c", str(service.config))
    assert "everything" in status.stdout
    counted = {row["name"]: row for row in service.ask("feeds")}
    assert counted["mail"]["dropped"] >= 1
    assert counted["mail"]["dropped_bytes"] >= 40
    assert counted["everything"]["dropped"] >= 2
    assert "DROPPED" in guard("feeds", "-c", str(service.config)).stdout
    [told] = service.ask("status")
    [mail] = [row for row in told["feed"] if row["name"] == "mail"]
    assert mail["dropped"] == counted["mail"]["dropped"]
