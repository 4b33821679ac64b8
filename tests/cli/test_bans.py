"""The ledger by hand, without a daemon: the store itself is asked."""

import json
import re
from ipaddress import ip_network
from pathlib import Path
from time import time

import pytest

from guard import assemble
from guard.cli.main import run
from guard.config import load
from guard.events import Offence, Window
from guard.lib.networks import parse_network


@pytest.fixture
def config(tmp_path):
    """A configuration with a store of its own."""
    path = tmp_path / "guard.toml"
    path.write_text(
        '[state]\ndir = "state"\n[protect]\nreserved = false\nown = false\nallow = ["192.0.2.7"]\n'
    )
    return str(path)


@pytest.fixture
def guard(config, capsys):
    """Runs a command and returns exit code, standard output and standard error."""

    def command(*arguments):
        code = run([*arguments, "-c", config])
        return code, *capsys.readouterr()

    return command


def rows(out):
    """JSON Lines as values."""
    return [json.loads(line) for line in out.splitlines()]


def test_ban_list_unban(guard):
    """A ban is listed with all its members until it is taken back."""
    code, out, err = guard("ban", "192.0.2.0/30", "--for", "1h", "--reason", "noise", "--json")
    assert code == 0
    assert err == "no daemon runs: noted in the ledger, enforced when it starts\n"
    (made,) = rows(out)
    assert made.pop("blocks", ["192.0.2.0/30"]) == ["192.0.2.0/30"]
    code, out, _ = guard("bans", "--json")
    assert (code, rows(out)) == (0, [made])
    assert made["network"] == "192.0.2.0/30"
    assert made["source"] == "manual"
    assert made["reason"] == "noise"
    assert made["until"] - made["since"] == pytest.approx(3600)
    assert set(made) == {"network", "source", "reason", "since", "until", "strikes"}
    code, out, _ = guard("unban", "192.0.2.0/30")
    assert (code, out) == (0, "un-banned 192.0.2.0/30 (manual)\n")
    assert guard("bans")[1] == "nobody is banned\n"
    assert guard("bans", "--json")[:2] == (0, "")


def test_for_ever_and_everybody(guard):
    """Without a time a ban is for ever; --all ends every one."""
    guard("ban", "192.0.2.1")
    guard("ban", "2001:db8::/64", "--for", "2d")
    code, out, _ = guard("bans")
    assert code == 0
    assert "never" in out
    assert "2001:db8::/64" in out
    code, out, _ = guard("unban", "--all", "--json")
    assert code == 0
    assert {row["network"] for row in rows(out)} == {"192.0.2.1", "2001:db8::/64"}
    assert guard("unban", "--all")[0] == 0


def test_the_answer_no_is_1(guard):
    """Un-banning or explaining who is not banned exits with 1."""
    assert guard("unban", "192.0.2.1")[0] == 1
    assert guard("explain", "192.0.2.1")[0] == 1


@pytest.mark.parametrize("bad", ["192.0.2.1/24", "example.com", "", "1.2.3", "192.0.2.1 "])
def test_bad_input_is_65(guard, bad):
    """What is no network is named, and nothing is done."""
    code, out, err = guard("ban", bad)
    assert (code, out) == (65, "")
    assert err.startswith("guard: ")
    assert guard("ban", "192.0.2.1", "--for", "soon")[0] == 65
    assert guard("bans", "--json")[1] == ""


def test_protection_outranks_the_operator(guard):
    """Who is protected is not banned by hand; a block around them is banned without them."""
    code, out, err = guard("ban", "192.0.2.7")
    assert (code, out) == (65, "")
    assert "protected" in err
    code, out, _ = guard("ban", "192.0.2.0/24", "--json")
    assert code == 0
    (row,) = rows(out)
    assert "192.0.2.6" in row["blocks"]
    assert "192.0.2.7" not in row["blocks"]


def test_explain_says_all_there_is(guard):
    """Claims of the address and of blocks around it, and why it is protected."""
    guard("ban", "198.51.100.0/24", "--for", "1h", "--reason", "noise")
    code, out, _ = guard("explain", "198.51.100.9", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["blocked"] is True
    assert answer["claims"][0]["network"] == "198.51.100.0/24"
    code, out, _ = guard("explain", "198.51.100.9")
    assert "198.51.100.0/24 is claimed by manual" in out
    code, out, _ = guard("explain", "192.0.2.7")
    assert code == 1
    assert "protected" in out


@pytest.mark.parametrize(
    ("address", "around", "beside"),
    [
        ("198.51.100.9", ["/16", "/31", "/32", "/24"], "198.51.100.10"),
        ("2a02:db8:1:2::9", ["/48", "/127", "/128", "/64"], "2a02:db8:1:2::a"),
    ],
)
def test_explain_names_every_block_around_an_address(guard, address, around, beside):
    """However wide, the oldest claim first; nothing of its neighbours."""
    blocks = [str(ip_network(address + length, strict=False)) for length in around]
    wanted = [block.removesuffix("/32").removesuffix("/128") for block in blocks]
    for block in [*wanted, beside]:
        assert guard("ban", block)[0] == 0
    answer = json.loads(guard("explain", address, "--json")[1])
    assert [row["network"] for row in answer["claims"]] == wanted


def test_explain_sums_up_thousands_of_rejections(guard, config):
    """How many of which jail, since when, until when, and the last of them; JSON has each."""
    now, address = time(), parse_network("198.51.100.9")
    windows = {name: Window(1_000_000, 86400.0) for name in ("many", "few")}
    old = [Offence("many", address, now - 7200 + n) for n in range(3000)]
    new = [Offence("few", address, now - 40 + n) for n in range(3)]
    with assemble.operations(load(Path(config))) as by_hand:
        by_hand.counters.count([*old, *new], windows)
    code, out, _ = guard("explain", "198.51.100.9")
    assert code == 1
    said = [line for line in out.splitlines() if "rejection" in line]
    assert re.fullmatch(
        r"  3000 rejections, first 2h(\d+s)? ago, last 1h10m ago, counted by many; the last:",
        said[0],
    )
    assert said[1:-3] == ["    1 rejection 1h10m ago"] * 5
    assert all(re.fullmatch(r"  1 rejection \d+s ago, counted by few", line) for line in said[-3:])
    answer = json.loads(guard("explain", "198.51.100.9", "--json")[1])
    assert len(answer["counted"]) == 3003
    assert sum(row["rejections"] for row in answer["counted"]) == 3003


def test_explain_of_a_block_says_how_much_of_it_is_blocked(guard):
    """One address of it, both halves and an address in one, or all but somebody protected."""
    guard("ban", "198.51.100.7")
    for whole in (False, True):
        code, out, _ = guard("explain", "198.51.100.0/24")
        said = "blocked" if whole else "blocked in part"
        assert (code, out.splitlines()[0]) == (0, f"198.51.100.0/24: {said}")
        assert json.loads(guard("explain", "198.51.100.0/24", "--json")[1])["partly"] is not whole
        guard("ban", "198.51.100.0/25")
        guard("ban", "198.51.100.128/25")
    guard("ban", "192.0.2.0/24")
    assert guard("explain", "192.0.2.0/24")[1].startswith("192.0.2.0/24: blocked in part\n")
    assert guard("explain", "192.0.2.9")[1].startswith("192.0.2.9: blocked\n")


def test_unban_names_the_block_that_an_address_lies_in(guard):
    """An address inside a banned block has no ban of its own; the answer says which block has."""
    guard("ban", "198.51.100.0/24")
    code, _, err = guard("unban", "198.51.100.7")
    assert code == 1
    assert "198.51.100.0/24, which it lies in, is claimed by manual" in err
    assert guard("unban", "198.51.100.0/24")[0] == 0
    code, _, err = guard("unban", "198.51.100.7")
    assert (code, "198.51.100.7 is not banned\n" in err) == (1, True)


def test_unban_of_an_ipv6_address_is_of_its_64(guard):
    """Jails ban the /64 that an address is counted under; naming the address is enough."""
    guard("ban", "2001:db8:0:1::/64")
    assert guard("unban", "2001:db8:0:1::25")[0] == 0
    assert guard("bans", "--json")[1] == ""


def test_a_reason_does_not_reach_the_terminal_as_it_is(guard):
    """Letters of any language are shown, what steers a terminal is escaped."""
    guard("ban", "198.51.100.7", "--reason", "für\x1b[31m\nimmer")
    for command in (("bans",), ("explain", "198.51.100.7")):
        out = guard(*command)[1]
        assert "für\\x1b[31m\\nimmer" in out
        assert "\x1b" not in out


@pytest.mark.parametrize("length", ["0", "99999999999y"])
def test_a_ban_of_no_length_is_none(guard, length):
    """It would end a longer one, or outlast the calendar: bad input, and nothing changes."""
    guard("ban", "198.51.100.7")
    (before,) = rows(guard("bans", "--json")[1])
    for command in ("ban", "allow"):
        code, out, err = guard(command, "198.51.100.7", "--for", length)
        assert (code, out, length in err) == (65, "", True)
    assert rows(guard("bans", "--json")[1]) == [before]


@pytest.mark.redis
def test_thousands_in_redis_are_let_in_at_once(guard, config, redis_url, tmp_path):
    """Taken from a list, then un-banned: each is named, or an object of JSON, or only counted."""
    with Path(config).open("a") as file:
        file.write(f'[store]\nurl = "{redis_url}"\n')
    listed = tmp_path / "list.txt"
    networks = [f"45.0.{n // 250}.{n % 250}" for n in range(6000)]
    listed.write_text("\n".join(networks))
    for form in ((), ("--json",)):
        assert guard("import", str(listed))[1].startswith("6000 bans taken")
        code, out, err = guard("unban", "--all", *form)
        assert (code, err.startswith("no daemon runs here: noted in Redis")) == (0, True)
        if form:
            told = [row["network"] for row in rows(out)]
        else:
            told = [line.split()[1] for line in out.splitlines()]
        assert sorted(told) == sorted(networks)
        assert guard("bans")[1] == "nobody is banned\n"
    assert guard("unban", "--all")[0] == 0


@pytest.mark.redis
def test_from_a_host_that_only_shares_the_redis(guard, config, redis_url):
    """The daemons of the other hosts hear of it; nobody need start one here."""
    with Path(config).open("a") as file:
        file.write(f'[store]\nurl = "{redis_url}"\n')
    code, out, err = guard("ban", "198.51.100.7", "--for", "1h")
    assert (code, out) == (0, "banned 198.51.100.7 for 1h\n")
    assert err.startswith("no daemon runs here: noted in Redis")
    assert guard("pause", "10m")[2].startswith("no daemon runs: ")
    assert guard("unban", "198.51.100.7")[:2] == (0, "un-banned 198.51.100.7 (manual)\n")
