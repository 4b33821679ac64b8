"""The main job: a scanner is refused, counted, and dropped by the kernel; then it is free again.

The real `guard`, a real kernel, real packets between network namespaces.
"""

import json
from contextlib import ExitStack

import pytest
from netns import World, eventually, inside
from service import Service, dialogue, guard

RELAY = ("EHLO WIN-CLJ1B0GQ6JP", "MAIL FROM:<test@test.com>", "RCPT TO:<mmiihhww09@gmail.com>")
CONFIG = """
[state]
dir = "state"
[log]
records = "records.jsonl"
events = "events.jsonl"
collapse = "1s"
[[listener]]
listen = ":25"
hostname = "mx.example.com"
relay_hosts = ["198.51.100.10"]
[delivery]
enabled = false
[[source]]
type = "kumomta-log"
path = "kumomta"
[protect]
reserved = false
[firewall]
backend = "{backend}"
ports = [25]
"""

pytestmark = pytest.mark.root


@pytest.fixture(params=["nftables", "iptables"])
def running(request, tmp_path):
    """Hosts, and `guard up` on the server with each kind of firewall."""
    (tmp_path / "guard.toml").write_text(CONFIG.format(backend=request.param))
    (tmp_path / "kumomta").mkdir()
    with ExitStack() as stack:
        world = World(stack, ports=())
        service = Service("up", tmp_path / "guard.toml", ("ip", "netns", "exec", world.server))
        stack.callback(service.stop)
        service.start()
        assert eventually(lambda: world.innocent.connects("192.0.2.1")), service.said()
        assert eventually(lambda: world.innocent.connects("2001:db8:1::1")), service.said()
        yield world, service, tmp_path


def talk(host, address, *lines):
    """Replies that `host` gets from the server."""
    with inside(host.name):
        return dialogue((address, 25), *lines)


@pytest.mark.parametrize(
    ("address", "network"), [("192.0.2.1", "192.0.2.10"), ("2001:db8:1::1", "2001:db8:1::/64")]
)
def test_offender_is_refused_counted_and_dropped(running, address, network):
    """Five refused relays, then no connection; the innocent goes on; an un-ban ends it at once."""
    world, service, folder = running
    for _ in range(5):
        replies = talk(world.offender, address, *RELAY)
        assert replies[-1].startswith("550 5.7.1 relaying not permitted for ")
    assert eventually(lambda: world.offender.dropped(address)), service.said()
    assert world.innocent.connects(address)
    accepted = talk(world.innocent, "192.0.2.1", *RELAY, "DATA", "Subject: x\r\n\r\nHello.\r\n.")
    assert accepted[-1].startswith("250 OK ids=")

    (ban,) = service.ask("bans")
    assert ban["network"] == network
    assert ban["source"] == "jail:kumomta-relay"
    assert ban["until"] == pytest.approx(ban["since"] + 3600)
    assert world.offender.dropped(address)
    assert service.ask("unban", network)[0]["network"] == network
    assert world.offender.connects(address)
    # Collapsed into fewer lines, yet every refusal is told; then the ban, and the un-ban.
    assert eventually(lambda: refusals(folder) == 5)
    assert [e["event"] for e in events(folder) if "ban" in e["event"]] == ["ban", "unban"]


def events(folder):
    """Guard's event lines so far."""
    return [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]


def refusals(folder):
    """How many refused relays the event lines tell of."""
    return sum(e["count"] for e in events(folder) if e["event"] == "relay_denied")


def test_a_ban_ends_by_itself(running):
    """The kernel lets the address in again when its time is over."""
    world, service, _ = running
    service.ask("ban", "192.0.2.10", "--for", "3s")
    assert world.offender.dropped("192.0.2.1")
    assert eventually(lambda: world.offender.connects("192.0.2.1"), 10)
    assert service.ask("bans") == []


def test_the_same_from_a_kumomta_log(running):
    """Rejections that a real KumoMTA would have logged drop the address that they name."""
    from guard.lib.clock import now

    world, service, folder = running
    record = {
        "type": "Rejection", "id": "", "sender": "test@test.com", "recipient": "", "size": 0,
        "response": {
            "code": 550, "enhanced_code": {"class": 5, "subject": 7, "detail": 1},
            "content": "relaying not permitted for 192.0.2.10:50312",
            "command": "RCPT TO:<mmiihhww09@gmail.com>",
        },
        "peer_address": {"name": "win-clj1b0gq6jp", "addr": "192.0.2.10"},
        "timestamp": int(now()), "created": int(now()), "num_attempts": 0,
    }  # fmt: skip
    assert world.offender.connects("192.0.2.1")
    (folder / "kumomta" / "20260101-000000").write_text((json.dumps(record) + "\n") * 5)
    assert eventually(lambda: world.offender.dropped("192.0.2.1")), service.said()
    assert world.innocent.connects("192.0.2.1")
    (ban,) = service.ask("bans")
    assert (ban["network"], ban["source"]) == ("192.0.2.10", "jail:kumomta-relay")


def test_bans_survive_the_death_of_guard(running):
    """Killed, Guard leaves its bans in the kernel, and knows them when it is back."""
    import signal

    world, service, _ = running
    service.ask("ban", "192.0.2.10", "--for", "1h")
    service.stop(signal.SIGKILL)
    with inside(world.server):
        import socket

        with socket.create_server(("192.0.2.1", 25)):
            assert world.offender.dropped("192.0.2.1")
            assert world.innocent.connects("192.0.2.1")
    service.start()
    assert world.offender.dropped("192.0.2.1")
    assert [row["network"] for row in service.ask("bans")] == ["192.0.2.10"]
    service.ask("unban", "--all")
    assert world.offender.connects("192.0.2.1")


def test_commands_refuse_what_they_cannot_do(running):
    """Exit codes of sysexits: 1 not banned, 65 bad input; protection holds against the operator."""
    _, service, folder = running
    config = ("-c", str(folder / "guard.toml"))
    assert guard("unban", "192.0.2.99", *config).returncode == 1
    bad = guard("ban", "192.0.2.1/24", *config)
    assert (bad.returncode, bad.stdout) == (65, "")
    assert "Did you mean 192.0.2.0/24?" in bad.stderr
    relay = guard("ban", "198.51.100.10", *config)
    assert relay.returncode == 65
    assert "protected" in relay.stderr
    assert service.ask("bans") == []
