"""`guard relay-check` over every case of KumoMTA's table of RCPT, with real files."""

import json

import pytest
from click.testing import CliRunner

from guard.cli.main import cli, run

GUARD = """
[[listener]]
listen = "127.0.0.1:2525"
hostname = "mx.example.com"
relay_hosts = ["127.0.0.1", "192.168.1.0/24"]
listener_domains = ["domains.toml"]
[[listener]]
listen = "0.0.0.0:25"
relay_hosts = []
listener_domains = ["domains.toml"]
"""
DOMAINS = """
["in.test"]
relay_to = true
["bounce.test"]
log_oob = true
["fbl.test"]
log_arf = "LogThenDrop"
["out.test"]
relay_from = ["203.0.113.0/24"]
["users.test"]
relay_from_authz = ["ann"]
["shut.test"]
relay_to = false
["[10.0.0.1]"]
relay_to = true
["xn--mnchen-3ya.de"]
relay_to = true
[listener."127.0.0.1:2525"."*.in.test"]
log_arf = true
"""
HOSTS = "guard.toml:listener[0].relay_hosts"
OK, STRANGER = "250 OK <x@gmail.com>", "198.51.100.7"
CASES = {
    "a relay host": (["192.168.1.9"], "relay", OK, "relay_hosts", HOSTS),
    "loopback": (["127.0.0.1"], "relay", OK, "relay_hosts", HOSTS),
    "a mapped relay host": (["::ffff:192.168.1.9"], "relay", OK, "relay_hosts", HOSTS),
    "a stranger": (
        [f"{STRANGER}:4242"],
        "refuse",
        f"550 5.7.1 relaying not permitted for {STRANGER}:4242",
        "default",
        HOSTS,
    ),
    "a stranger over IPv6": (
        ["[2001:db8::7]:4242"],
        "refuse",
        "550 5.7.1 relaying not permitted for [2001:db8::7]:4242",
        "default",
        HOSTS,
    ),
    "relay_to": (
        [STRANGER, "--to", "x@In.Test"],
        "relay",
        "250 OK <x@in.test>",
        "relay_to",
        'domains.toml:"in.test".relay_to',
    ),
    "log_oob": (
        [STRANGER, "--to", "x@bounce.test"],
        "log",
        "250 OK <x@bounce.test>",
        "log_oob",
        'domains.toml:"bounce.test".log_oob',
    ),
    "log_arf": (
        [STRANGER, "--to", "x@fbl.test"],
        "log",
        "250 OK <x@fbl.test>",
        "log_arf",
        'domains.toml:"fbl.test".log_arf',
    ),
    "log_arf of the listener": (
        [STRANGER, "--to", "x@sub.in.test"],
        "log",
        "250 OK <x@sub.in.test>",
        "log_arf",
        'domains.toml:listener."127.0.0.1:2525"."*.in.test".log_arf',
    ),
    "relay_from": (
        ["203.0.113.5", "--from", "a@out.test"],
        "relay",
        OK,
        "relay_from",
        'domains.toml:"out.test".relay_from',
    ),
    "relay_from of the recipient": (
        ["203.0.113.5:1", "--to", "a@out.test"],
        "refuse",
        "550 5.7.1 relaying not permitted for 203.0.113.5:1",
        "relay_to",
        'domains.toml:"out.test"',
    ),
    "authenticated": (
        [STRANGER, "--from", "a@users.test", "--authz", "ann"],
        "relay",
        OK,
        "relay_from_authz",
        'domains.toml:"users.test".relay_from_authz',
    ),
    "authenticated as another": (
        [f"{STRANGER}:1", "--from", "a@users.test", "--authz", "bob"],
        "refuse",
        f"550 5.7.1 relaying not permitted for {STRANGER}:1",
        "default",
        HOSTS,
    ),
    "not authenticated": (
        [f"{STRANGER}:1", "--from", "a@users.test"],
        "refuse",
        f"550 5.7.1 relaying not permitted for {STRANGER}:1",
        "default",
        HOSTS,
    ),
    "an explicit false": (
        [f"{STRANGER}:1", "--to", "x@shut.test"],
        "refuse",
        f"550 5.7.1 relaying not permitted for {STRANGER}:1",
        "relay_to",
        'domains.toml:"shut.test".relay_to',
    ),
    "an explicit false is no veto": (
        ["127.0.0.1", "--to", "x@shut.test"],
        "relay",
        "250 OK <x@shut.test>",
        "relay_hosts",
        HOSTS,
    ),
    "the null sender": (
        [f"{STRANGER}:1", "--from", "<>"],
        "refuse",
        f"550 5.7.1 relaying not permitted for {STRANGER}:1",
        "default",
        HOSTS,
    ),
    "Postmaster": (
        [f"{STRANGER}:1", "--to", "Postmaster"],
        "refuse",
        f"550 5.7.1 relaying not permitted for {STRANGER}:1",
        "default",
        HOSTS,
    ),
    "postmaster of a domain": (
        [f"{STRANGER}:1", "--to", "postmaster@in.test"],
        "relay",
        "250 OK <postmaster@in.test>",
        "relay_to",
        'domains.toml:"in.test".relay_to',
    ),
    "an address literal": (
        [STRANGER, "--to", "x@[10.0.0.1]"],
        "relay",
        "250 OK <x@[10.0.0.1]>",
        "relay_to",
        'domains.toml:"[10.0.0.1]".relay_to',
    ),
    "a source route": (
        [STRANGER, "--to", "@a.test,@b.test:x@in.test"],
        "relay",
        "250 OK <x@in.test>",
        "relay_to",
        'domains.toml:"in.test".relay_to',
    ),
    "an international name": (
        [STRANGER, "--to", "x@München.de"],
        "relay",
        "250 OK <x@xn--mnchen-3ya.de>",
        "relay_to",
        'domains.toml:"xn--mnchen-3ya.de".relay_to',
    ),
    "a bare domain": (
        [STRANGER, "--to", "in.test"],
        "relay",
        "250 OK <in.test>",
        "relay_to",
        'domains.toml:"in.test".relay_to',
    ),
}


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    """The command with its files in the current folder; the peer comes next."""
    (tmp_path / "guard.toml").write_text(GUARD)
    (tmp_path / "domains.toml").write_text(DOMAINS)
    monkeypatch.chdir(tmp_path)
    return [
        *("relay-check", "-c", "guard.toml", "--listener", "127.0.0.1:2525"),
        *("--from", "a@b.test", "--to", "x@gmail.com", "--peer"),
    ]


@pytest.mark.parametrize("case", CASES)
def test_json_names_verdict_reply_rule_and_place(arguments, case):
    """One JSON object with exactly four members; the exit code is 1 for a refusal."""
    more, verdict, reply, rule, where = CASES[case]
    result = CliRunner().invoke(cli, [*arguments, *more, "--json"])
    assert json.loads(result.stdout) == {
        "verdict": verdict,
        "reply": reply,
        "rule": rule,
        "where": where,
    }
    assert result.exit_code == (1 if verdict == "refuse" else 0)
    assert not result.stderr


@pytest.mark.parametrize("case", CASES)
def test_in_words_every_step_is_told(arguments, case):
    """The verdict, what decided, and why a stranger could connect at all."""
    more, verdict, reply, rule, where = CASES[case]
    result = CliRunner().invoke(cli, [*arguments, *more])
    step = "the end of DATA" if verdict == "log" else "RCPT TO"
    first = f"{verdict}: {reply}\ndecided at {step} by {rule}, {where}\n"
    assert result.stdout.startswith(first)
    assert "Anybody may connect" in result.stdout
    assert ("\nDATA " in result.stdout) == (verdict != "refuse")


@pytest.mark.parametrize(
    ("more", "reply"),
    [
        (["--to", "nobody"], "501 5.1.3 Invalid recipient address syntax"),
        (["--to", "x@in.test:25"], "501 5.1.3 Invalid recipient address syntax"),
        (["--to", ""], "501 5.1.3 Invalid recipient address syntax"),
        (["--from", "a b@in.test", "--to", "x@in.test"], "501 5.1.7 Bad sender's mailbox"),
    ],
)
def test_what_is_no_address_is_answered_as_the_listener_does(arguments, more, reply):
    """The rule is the syntax, which stands in no file; the exit code is that of a refusal."""
    result = CliRunner().invoke(cli, [*arguments, "127.0.0.1", *more, "--json"])
    answer = json.loads(result.stdout)
    assert answer.pop("reply").startswith(reply)
    assert answer == {"verdict": "refuse", "rule": "syntax", "where": ""}
    assert result.exit_code == 1
    words = CliRunner().invoke(cli, [*arguments, "127.0.0.1", *more])
    assert words.stdout.startswith(f"refuse: {reply}")
    assert words.stdout.endswith("decided at RCPT TO by syntax\n")


def test_each_listener_has_its_own_rules(arguments):
    """A listener of every address serves any of them, with its relay_hosts and sections."""
    more = ["127.0.0.1:9", "--listener", "192.0.2.1:25", "--json"]
    result = CliRunner().invoke(cli, [*arguments, *more])
    assert json.loads(result.stdout)["where"] == "guard.toml:listener[1].relay_hosts"
    assert result.exit_code == 1


def test_behind_a_proxy_the_address_is_the_proxys(arguments, tmp_path):
    """The listener that has proxies answers for addresses that are nobody's, by their sections."""
    guard = tmp_path / "guard.toml"
    guard.write_text(f'{GUARD}proxies = ["192.0.2.80"]\n')
    with (tmp_path / "domains.toml").open("a") as domains:
        domains.write('[listener."203.0.113.1:465"."only.test"]\nrelay_to = true\n')
    more = [STRANGER, "--listener", "203.0.113.1:465", "--to", "x@only.test", "--json"]
    result = CliRunner().invoke(cli, [*arguments, *more])
    assert json.loads(result.stdout)["where"].startswith('domains.toml:listener."203.0.113.1:465"')
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["nobody"], "not an IP address"),
        (["127.0.0.1", "--listener", "127.0.0.1"], "not an address and port"),
        (["127.0.0.1", "--listener", "mx.test:25"], "not an address and port"),
        (["127.0.0.1", "--listener", "192.0.2.1:26"], "there are: 127.0.0.1:2525, 0.0.0.0:25"),
    ],
)
def test_a_wrong_question_is_a_usage_error(arguments, capsys, more, says):
    """Exit code 64, and what would be right."""
    assert run([*arguments, *more]) == 64
    assert says in capsys.readouterr().err


def test_a_broken_domain_file_is_a_configuration_error(arguments, tmp_path, capsys):
    """Exit code 78, with file and key of every fault, and nothing on standard output."""
    (tmp_path / "domains.toml").write_text(
        '["a.test"]\nlog_fbl = true\nrelay_from = ["10.0.0.1/8"]'
    )
    assert run([*arguments, "127.0.0.1", "--json"]) == 78
    heard = capsys.readouterr()
    assert not heard.out
    assert heard.err.splitlines() == [
        'guard: domains.toml: "a.test".log_fbl: unknown option, did you mean log_arf?',
        'guard: domains.toml: "a.test".relay_from[0]: 10.0.0.1/8 is not a valid CIDR: host part '
        "of address was not zero. Did you mean 10.0.0.0/8?",
    ]


POLICY = """
def get_listener_domain(domain, listener, conn_meta):
    if domain == "bad.test":
        raise ValueError(domain)
    if conn_meta.get_meta("authz_id") == "ann":
        return make_listener_domain(relay_to=True)
"""


def test_a_hook_is_asked_as_the_listener_asks_it(arguments, tmp_path):
    """It decides first, the files where it says None, and its failure is a refusal with 421."""
    guard = tmp_path / "guard.toml"
    guard.write_text(GUARD.replace('["domains.toml"]', '["domains.toml"]\npolicy = "policy.py"', 1))
    (tmp_path / "policy.py").write_text(POLICY)

    def answer(*more: str) -> dict[str, str]:
        return json.loads(CliRunner().invoke(cli, [*arguments, STRANGER, *more, "--json"]).stdout)

    assert answer("--authz", "ann") == {
        "verdict": "relay",
        "reply": OK,
        "rule": "relay_to",
        "where": 'policy.py:get_listener_domain("gmail.com")',
    }
    assert answer("--to", "x@in.test")["where"] == 'domains.toml:"in.test".relay_to'
    assert answer("--to", "x@bad.test") == {
        "verdict": "refuse",
        "reply": "421 4.3.0 mx.example.com technical difficulties",
        "rule": "policy",
        "where": "policy.py:get_listener_domain",
    }
    words = CliRunner().invoke(cli, [*arguments, STRANGER, "--to", "x@bad.test"])
    assert words.exit_code == 1
    assert 'get_listener_domain("bad.test") raised ValueError: bad.test (line 4' in words.stdout


def test_what_a_hook_prints_is_no_part_of_the_answer(arguments, tmp_path):
    """Neither when it is imported nor when it is asked: standard output is JSON alone."""
    guard = tmp_path / "guard.toml"
    guard.write_text(GUARD.replace('["domains.toml"]', '["domains.toml"]\npolicy = "policy.py"', 1))
    (tmp_path / "policy.py").write_text(f"print('imported')\n{POLICY}    print('asked')\n")
    result = CliRunner().invoke(cli, [*arguments, STRANGER, "--json"])
    assert json.loads(result.stdout)["verdict"] == "refuse"
    assert result.stderr.split() == ["imported", "asked", "asked"]


def test_without_configuration_the_defaults_answer(arguments, monkeypatch, capsys, tmp_path):
    """The built-in listener relays for loopback and for nobody else."""
    monkeypatch.setattr("guard.config.DEFAULT_PATH", tmp_path / "none.toml")
    del arguments[1:3]
    assert run([*arguments, "127.0.0.1", "--json"]) == 0
    assert "built-in defaults:listener[0].relay_hosts" in capsys.readouterr().out
    assert run([*arguments, STRANGER]) == 1
