"""`guard protect`: asked as an operator asks, with a DNS server on loopback."""

import json

import pytest
from click.testing import CliRunner
from stubdns import StubDns

from guard.cli.main import cli, run
from guard.protect.senders import shipped

ZONE = {
    ("home.example", "A"): ["185.4.0.7"],
    ("7.0.5.185.in-addr.arpa", "PTR"): ["mx.office.example."],
    ("mx.office.example", "A"): ["185.5.0.7"],
    ("_spf.google.com", "TXT"): ['"v=spf1 ip4:185.9.0.0/24 -all"'],
}


@pytest.fixture
def config(tmp_path):
    """A configuration that asks the stub."""
    with StubDns(ZONE) as stub:
        path = tmp_path / "guard.toml"
        path.write_text(
            f'[state]\ndir = "{tmp_path}/state"\n[protect]\n'
            f'allow = ["185.3.0.0/24", "home.example", ".office.example"]\n'
            f'name_servers = ["127.0.0.1:{stub.port}"]\n'
            '[[listener]]\nrelay_hosts = ["185.6.0.0/16"]\n'
        )
        yield path


def guard(*words):
    """(exit code, output) of a command."""
    result = CliRunner().invoke(cli, list(map(str, words)))
    return result.exit_code, result.stdout


def test_test_tells_why_and_what_a_ban_would_do(config):
    """Networks, names, reverse names, relay_hosts and senders; exit code 1 is "no"."""
    for address, why in {
        "185.3.0.9": "allow 185.3.0.0/24",
        "185.4.0.7": "allow home.example",
        "185.5.0.7": "allow mx.office.example",
        "185.6.1.1": "relay_hosts 185.6.0.0/16",
        "17.58.0.1": "mail sender apple",
    }.items():
        assert guard("protect", "test", address, "-c", config) == (
            0,
            f"{address} is protected: {why}\n",
        )
    assert guard("protect", "test", "185.3.1.1", "-c", config) == (
        1,
        "185.3.1.1 is not protected\n",
    )
    code, text = guard("protect", "test", "185.3.0.0/16", "-c", config)
    assert code == 0
    assert "a ban would be carved into" in text
    code, text = guard("protect", "test", "185.3.0.0/23", "-c", config, "--json")
    answer = json.loads(text)
    assert answer["blockable"] == ["185.3.1.0/24"]
    assert answer["parts"] == [{"network": "185.3.0.0/24", "why": "allow 185.3.0.0/24"}]
    assert "a ban would be refused" in guard("protect", "test", "185.6.0.0/16", "-c", config)[1]
    assert run(["protect", "test", "nonsense", "-c", str(config)]) == 65


def test_list_shows_layers_in_order_of_precedence(config):
    """Counted for people, whole with --all, and as JSON lines."""
    code, text = guard("protect", "list", "-c", config)
    assert code == 0
    assert text.index("loopback") < text.index("relay_hosts") < text.index("mail sender gmail")
    assert "8 networks" in text
    assert f"MISP warning lists, CC0 1.0, as of {shipped().date}" in text
    assert "209.85.128.0/17" not in text
    assert "209.85.128.0/17" in guard("protect", "list", "--all", "-c", config)[1]
    rows = [json.loads(x) for x in guard("protect", "list", "--json", "-c", config)[1].splitlines()]
    assert {"layer": "allow", "network": "185.3.0.0/24", "why": "allow 185.3.0.0/24"} in rows


def test_refresh_asks_and_is_taken_up(config, tmp_path):
    """What the records say is protected from then on; a failure is shown, and no answer is 69."""
    assert guard("protect", "test", "185.9.0.1", "-c", config)[0] == 1
    code, text = guard("protect", "refresh", "-c", config, "--json")
    rows = {row["sender"]: row for row in map(json.loads, text.splitlines())}
    assert code == 0
    assert rows["gmail"]["networks"] == ["185.9.0.0/24"]
    assert "no SPF" in rows["apple"]["fault"]
    assert guard("protect", "test", "185.9.0.1", "-c", config)[0] == 0
    assert "good" in guard("protect", "refresh", "-c", config)[1]
    gone = tmp_path / "gone.toml"
    with StubDns(None) as stub:
        servers = f'name_servers = ["127.0.0.1:{stub.port}"]'
        gone.write_text(f'[state]\ndir = "{tmp_path}/s2"\n[protect]\n{servers}\n')
        assert guard("protect", "refresh", "-c", gone)[0] == 69


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('allow = ["1.2.3"]', "protect.allow[0]"),
        ('name_servers = ["dns.example:53"]', "protect.name_servers[0]"),
        ('name_servers = ["127.0.0.1:0"]', "protect.name_servers[0]"),
        ("resolve = 1", "protect.resolve"),
        ("refresh = 60", "protect.refresh"),
        ("ssh_ports = []", "protect.ssh_ports"),
        ("bans_per_minute = -1", "protect.bans_per_minute"),
        ('except_senders = ["gmial"]', "protect.except_senders[0]"),
    ],
)
def test_faulty_settings_are_named(tmp_path, capsys, line, key):
    """File and key, exit code 78."""
    path = tmp_path / "guard.toml"
    path.write_text(f"[protect]\n{line}\n")
    assert run(["protect", "list", "-c", str(path)]) == 78
    assert key in capsys.readouterr().err
