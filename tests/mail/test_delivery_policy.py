"""How mail for a domain leaves: own table over default over ours."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from guard.config import parse
from guard.lib.durations import parse_duration
from guard.lib.networks import parse_network
from guard.mail.policy import LOCAL, Policies, Policy, route_of
from guard.mail.routing import Route
from guard.mail.schedule import Rate, Schedule
from guard.mail.settings import QueueSettings
from guard.roles import ConfigError


def policies(text: str) -> Policies:
    """The policies of this TOML."""
    return Policies(parse(tomllib.loads(text), Path("guard.toml")).queue)


def test_defaults():
    """Without configuration: MX, opportunistic TLS, KumoMTA's schedule, never to ourselves."""
    policy = policies("").of("example.com")
    assert policy == Policy()
    assert policy.schedule == Schedule(1200, None, 7 * 86400)
    assert policy.prohibited_hosts == LOCAL
    assert route_of("example.com", policy) == Route("example.com", 25)
    assert route_of("[192.0.2.1]", policy) == Route("192.0.2.1", 25, literal=True)


def test_a_table_over_the_default():
    """What the domain leaves out is the default's; what both leave out is ours."""
    found = policies(
        """
        [queue.default]
        routing_domain = "smart.example:587"
        retry_interval = "1m"
        tls = "required"
        [queue."my.own.hostname"]
        routing_domain = "[10.0.0.1]"
        max_age = "1d"
        [queue."*.slow.example"]
        connections = 1
        rate = "10/min"
        prohibited_hosts = []
        """
    )
    own = found.of("my.own.hostname")
    assert route_of("my.own.hostname", own) == Route("10.0.0.1", 25, literal=True)
    assert own.schedule == Schedule(60, None, 86400)
    assert own.tls == "required"
    slow = found.of("a.b.slow.example")
    assert (slow.connections, slow.rate) == (1, Rate(10, 60))
    assert slow.prohibited_hosts == ()
    assert route_of("x", slow) == Route("smart.example", 587)
    assert found.of("slow.example").connections == 10
    assert found.of("").route == Route("smart.example", 587)


def test_names_are_canonical():
    """A key may be written in capitals or beyond ASCII."""
    found = policies('[queue."BÜCHER.example"]\nport = 26\n')
    assert found.of("xn--bcher-kva.example").port == 26


def test_prohibited_hosts_can_be_named():
    """They replace ours."""
    found = policies('[queue.default]\nprohibited_hosts = ["192.0.2.0/24"]\n')
    assert found.of("x").prohibited_hosts == (parse_network("192.0.2.0/24"),)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('routing_domain = "[10.0.0.1:25]:25"', "routing_domain"),
        ("routing_domain = 5", "routing_domain"),
        ('rate = "fast"', "rate"),
        ('rate = "0/s"', "rate"),
        ('rate = "5/0s"', "rate"),
        ("connections = 0", "connections"),
        ("messages_per_connection = 0", "messages_per_connection"),
        ('retry_interval = "0s"', "retry_interval"),
        ('username = "x"', "username"),
        ('username = "x"\npassword_file = "y"\ntls = "off"', "tls"),
        ('tls = "maybe"', "tls"),
        ("port = 0", "port"),
    ],
)
def test_faults(text: str, key: str):
    """Each is named by its key."""
    with pytest.raises(ConfigError) as error:
        policies(f'[queue."example.com"]\n{text}\n')
    assert [fault.key for fault in error.value.faults] == [f'queue."example.com".{key}']


def test_faults_of_delivery():
    """The section beside the queues."""
    with pytest.raises(ConfigError) as error:
        policies('[delivery]\nconnections = 0\nnameservers = ["dns.example"]\n')
    assert [fault.key for fault in error.value.faults] == ["delivery.nameservers[0]"]
    with pytest.raises(ConfigError) as error:
        policies("[delivery]\nconnections = 0\n")
    assert [fault.key for fault in error.value.faults] == ["delivery.connections"]


KUMO = {"retry_interval": "interval", "max_retry_interval": "longest"}


def names(row: str) -> list[str]:
    """The keys that a row of a table begins with."""
    return re.findall(r"`(\w+)`", row)


def test_the_documentation():
    """Every table in docs/mail.md is read without a fault, and its defaults are ours."""
    page = (Path(__file__).parents[2] / "docs" / "mail.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    parse(tomllib.loads("\n".join(blocks)), Path("guard.toml"))
    rows = re.findall(r"^\| (`[^|]+) \|", page, re.MULTILINE)
    keys = {key for row in rows for key in names(row)}
    assert {field.name for field in fields(QueueSettings)} <= keys
    ours = Policy()
    for key, text in re.findall(r"^\| `(\w+)` \| (\d+\w?) \|", page, re.MULTILINE):
        value = getattr(ours, key, None) or getattr(ours.schedule, KUMO.get(key, key))
        assert parse_duration(text) == value, key
