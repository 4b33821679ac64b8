"""The rules of a listener, exchanged while its sessions go on."""

import asyncio
from collections.abc import Awaitable

import pytest

from guard.lib.networks import parse_address, parse_network
from guard.relay.hashes import hash_password
from guard.relay.live import Live, Rules, examine
from guard.relay.login import Login
from guard.relay.verdict import Asked
from guard.roles import ConfigError

HOOK = "def get_listener_domain(domain, listener, meta): {}\n"


def asked(to="a.test", peer="198.51.100.7"):
    """A question of a session."""
    return Asked(parse_address(peer), 1, "h:25", "", to)


def check(policy, question=None):
    """The verdict, waited for if need be."""
    verdict = policy.check(question or asked())
    if not isinstance(verdict, Awaitable):
        return verdict

    async def wait():
        return await verdict

    return asyncio.run(wait())


def right(live, user, password):
    """Whether somebody is let in."""
    return asyncio.run(live.check(Login(user, password, parse_address("::1"), 1, "h:25")))


@pytest.fixture
def file(tmp_path):
    """Writes a file and gives its path."""

    def written(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


@pytest.fixture
def start():
    """Makes Live objects and closes them."""
    made = []

    def started(**rules):
        made.append(Live(Rules(**rules)))
        return made[-1]

    yield started
    for live in made:
        live.close()


def test_open_sessions_meet_new_rules_at_their_next_question(start, file):
    """Nothing changes before the new rules are put in force, then everything at once."""
    domains = file("d.toml", '["a.test"]\nrelay_to = true\n')
    live = start(listener_domains=[domains])
    session = live.policy.session()
    assert check(session).relay
    file("d.toml", '["b.test"]\nrelay_to = true\n')
    apply = live.prepare(live.rules)
    assert check(session).relay
    apply()
    assert not check(session).relay
    assert not check(live.policy.session()).relay
    assert check(live.policy.session(), asked("b.test")).relay
    assert not check(live.policy).relay


def test_from_files_to_a_hook_and_back(start, file):
    """A session that is open meets the hook, which answers in its own time."""
    domains = file("d.toml", '["a.test"]\nrelay_to = true\n')
    hook = file("policy.py", HOOK.format("return make_listener_domain(log_oob=True)"))
    live = start(listener_domains=[domains])
    session = live.policy.session()
    assert check(session).rule == "relay_to"
    live.prepare(Rules(listener_domains=[domains], policy=hook))()
    assert check(session).rule == "log_oob"
    live.prepare(Rules(relay_hosts=[parse_network("198.51.100.0/24")]))()
    assert check(session).rule == "relay_hosts"


def test_a_hook_is_asked_once_per_session_and_again_after_a_reload(start, file):
    """What a session remembers does not outlive the rules."""
    text = "import itertools\ncount = itertools.count()\n"
    body = "return make_listener_domain(relay_to=next(count) == 0)"
    hook = file("policy.py", text + HOOK.format(body))
    live = start(policy=hook)
    session = live.policy.session()
    first = Asked(parse_address("::2"), 1, "h:25", "a.test", "a.test")
    assert check(session, first).relay
    assert check(session, first).relay
    assert not check(live.policy.session(), first).relay
    live.prepare(live.rules)()
    assert check(session, first).relay


def test_faults_keep_the_old_rules(start, file):
    """All faults of all files are told; nothing is in force by half."""
    domains = file("d.toml", '["a.test"]\nrelay_to = true\n')
    live = start(listener_domains=[domains])
    bad = Rules(
        listener_domains=[file("bad.toml", '["a.test"]\nlog_fbl = true\n')],
        policy=file("policy.py", "x = = 1"),
        credentials=file("c.toml", 'ann = "tiger"\n'),
    )
    with pytest.raises(ConfigError) as error:
        live.prepare(bad)
    assert [fault.file.rpartition("/")[2] for fault in error.value.faults] == [
        "policy.py",
        "bad.toml",
        "c.toml",
    ]
    assert check(live.policy).relay
    assert live.rules.listener_domains == [domains]


def test_passwords_are_exchanged_too(start, file):
    """From nobody to a file, to a hook, and back to nobody."""
    live = start()
    assert not live.authenticates
    assert not right(live, "ann", "tiger")
    credentials = file("c.toml", f'ann = "{hash_password("tiger")}"\n')
    live.prepare(Rules(credentials=credentials))()
    assert live.authenticates
    assert right(live, "ann", "tiger")
    assert live.rules.files == [credentials]
    hook = file("policy.py", "def check_password(user, password, meta): return password == 'lion'")
    live.prepare(Rules(policy=hook))()
    assert not right(live, "ann", "tiger")
    assert right(live, "ann", "lion")
    live.prepare(Rules())()
    assert not live.authenticates


def test_two_that_know_passwords_are_one_too_many(start, file):
    """Which of them is meant, only the operator can say."""
    rules = {
        "credentials": file("c.toml", ""),
        "policy": file("policy.py", "def check_password(user, password, meta): return False"),
    }
    with pytest.raises(ConfigError, match="one has to go"):
        start(**rules)


def test_examining_reads_all_and_warns(file):
    """For `guard check`: traps with the place of relay_hosts, and files that anybody may read."""
    credentials = file("c.toml", "")
    credentials.chmod(0o604)
    found = examine(
        Rules(
            relay_hosts=[parse_network("0.0.0.0/0")],
            listener_domains=[file("d.toml", '["*"]\nlog_oob = true\n')],
            policy=file("policy.py", HOOK.format("pass")),
            credentials=credentials,
            file="guard.toml",
            key="listener[0].relay_hosts",
        )
    )
    assert [(fault.file.rpartition("/")[2], fault.key) for fault in found] == [
        ("guard.toml", "listener[0].relay_hosts"),
        ("d.toml", '"*".log_oob'),
        ("c.toml", ""),
    ]
    with pytest.raises(ConfigError):
        examine(Rules(policy=file("policy.py", "x = = 1")))


def test_passwords_without_tls_are_warned_of(file):
    """A function that nobody will ever call."""
    hook = file("policy.py", "def check_password(user, password, meta): return False")
    assert examine(Rules(policy=hook)) == []
    (warning,) = examine(Rules(policy=hook, encrypts=False))
    assert warning.file == str(hook)
    assert "no tls_certificate" in warning.message
