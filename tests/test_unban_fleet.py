"""Two hosts on one Redis: thousands of bans taken, and let in, by a command on one of them."""

import json
from contextlib import ExitStack

import pytest
from netns import eventually
from service import Service, guard

CONFIG = """
[state]
dir = "{name}"
[store]
url = "{url}"
[log]
events = "{name}.jsonl"
[firewall]
backend = "dry-run"
[jails.crowd]
addresses = 250
"""
MANY = [f"45.0.{n // 250}.{n % 250}" for n in range(12_000)]

pytestmark = pytest.mark.redis


@pytest.fixture
def hosts(tmp_path, redis_url):
    with ExitStack() as stack:
        found = []
        for name in ("one", "two"):
            file = tmp_path / f"{name}.toml"
            file.write_text(CONFIG.format(name=name, url=redis_url))
            service = Service("daemon", file)
            stack.callback(service.stop)
            service.start()
            found.append(service)
        yield found


def told(host):
    """The addresses of the un-bans in the event log."""
    lines = host.config.with_suffix(".jsonl")
    rows = map(json.loads, lines.read_text().splitlines()) if lines.exists() else ()
    return sorted(row["addr"] for row in rows if row["event"] == "unban")


def test_thousands_come_and_go(hosts, tmp_path):
    """Both hosts follow; each un-ban is printed and told once, in the log as thousands."""
    one, two = hosts
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(MANY))
    done = guard("import", str(listed), "-c", str(one.config))
    assert (done.returncode, done.stdout.startswith("12000 bans taken")) == (0, True)
    assert eventually(lambda: two.ask("status")[0]["bans"] == 12_000)
    done = guard("unban", "--all", "-c", str(one.config))
    assert sorted(line.split()[1] for line in done.stdout.splitlines()) == sorted(MANY)
    for host in hosts:
        assert host.ask("bans") == []
    assert told(one) == sorted(MANY)
    assert eventually(lambda: "networks at once" in one.said())
    assert one.ask("unban", "--all") == []
    assert guard("ban", "45.0.0.1", "-c", str(two.config)).returncode == 0
    assert [row["network"] for row in one.ask("bans")] == ["45.0.0.1"]
    assert "Traceback" not in one.said() + two.said()
