"""A listener with a policy.py: hook first, files next, and what a session remembers."""

import asyncio
import logging

import pytest

from guard.lib.networks import parse_address
from guard.relay.build import relay_policy
from guard.relay.calls import Calls
from guard.relay.hook import load_hook
from guard.relay.hooked import HookPolicy
from guard.relay.policy import StaticPolicy
from guard.relay.verdict import Asked, Reports

HOOK = """
asked = []
def get_listener_domain(domain, listener, conn_meta):
    asked.append((domain, conn_meta.get_meta("authz_id")))
    if domain == "hook.test":
        return make_listener_domain(log_oob="LogThenDrop")
    if domain == "from.test":
        return make_listener_domain(relay_from=["192.0.2.0/24"])
    if domain == "bad.test":
        raise RuntimeError("no\\nway")
    if domain == "count.test":
        return make_listener_domain(relay_from_authz=[str(len(asked))])
"""


@pytest.fixture
def policy(tmp_path):
    """A policy with hook and files."""
    (tmp_path / "policy.py").write_text(HOOK)
    (tmp_path / "d.toml").write_text(
        '["hook.test"]\nrelay_to = true\n["file.test"]\nrelay_to = true\n'
    )
    calls = Calls()
    hook = load_hook(tmp_path / "policy.py", calls)
    yield relay_policy([parse_address("127.0.0.1")], [tmp_path / "d.toml"], "g:relay_hosts", hook)
    calls.close()


def asked(sender="", to="", peer="198.51.100.7", authz=None):
    """A question of a session."""
    return Asked(parse_address(peer), 1, "h:25", sender, to, "", authz)


def check(policy, *questions):
    """The verdicts on questions of one session."""
    session = policy.session()

    async def all_of_them():
        return [await session.check(question) for question in questions]

    return asyncio.run(all_of_them())


def seen(policy):
    """What the hook was asked."""
    return policy.hook._functions["get_listener_domain"].__globals__["asked"]


def test_the_hook_comes_first_and_the_files_where_it_says_none(policy, tmp_path):
    """An answer of the hook hides the files' entry; None lets it show."""
    hook, files, nothing = check(
        policy, asked(to="hook.test"), asked(to="file.test"), asked(to="else.test")
    )
    assert (hook.relay, hook.log_oob) == (False, Reports.LOG_THEN_DROP)
    assert hook.rule == "log_oob"
    assert hook.where == f'{tmp_path / "policy.py"}:get_listener_domain("hook.test")'
    assert (files.rule, files.where) == ("relay_to", f'{tmp_path / "d.toml"}:"file.test".relay_to')
    assert (nothing.rule, nothing.where) == ("default", "g:relay_hosts")


def test_the_rules_of_files_hold_for_hooks(policy):
    """relay_hosts, and relay_from of the sender's domain."""
    local, sender, stranger = check(
        policy,
        asked(peer="127.0.0.1"),
        asked("from.test", "else.test", "192.0.2.9"),
        asked("from.test", "else.test"),
    )
    assert (local.rule, sender.rule, stranger.rule) == ("relay_hosts", "relay_from", "default")


def test_a_session_asks_once_for_each_domain(policy):
    """Null sender and recipient are domains like others; another session asks anew."""
    check(policy, asked("", "a.test"), asked("", "b.test"), asked("b.test", "a.test"))
    assert seen(policy) == [("", None), ("a.test", None), ("b.test", None)]
    check(policy, asked("", "a.test"))
    assert len(seen(policy)) == 5


def test_a_session_that_is_authenticated_is_asked_for_anew(policy):
    """The session begins anew after AUTH, and the hook sees who it is."""
    session = policy.session()

    async def talk():
        await session.check(asked("", "a.test"))
        await session.session().check(asked("", "a.test", authz="ann"))

    asyncio.run(talk())
    assert seen(policy) == [("", None), ("a.test", None), ("", "ann"), ("a.test", "ann")]


def test_what_a_session_remembers_is_bounded(policy):
    """A thousand domains do not stay in memory."""
    session = policy.session()

    async def talk():
        for number in range(1000):
            await session.check(asked("", f"d{number}.test"))

    asyncio.run(talk())
    assert len(session._known) <= 64


def test_a_failing_hook_is_a_verdict_and_a_log_line(policy, caplog, tmp_path):
    """Not remembered, never raised, told in one line with file, domain, reason and peer."""
    with caplog.at_level(logging.ERROR, "guard.relay"):
        first, second = check(policy, asked(to="bad.test"), asked(to="bad.test"))
    assert first.failed
    assert not first.accepts
    assert not first.relay
    assert (first.rule, first.where) == ("policy", f"{tmp_path / 'policy.py'}:get_listener_domain")
    assert second.failed
    assert len(caplog.records) == 1
    line = caplog.records[0].getMessage()
    assert line.startswith(f'{tmp_path / "policy.py"}: get_listener_domain("bad.test") raised Run')
    assert line.endswith("198.51.100.7 is told 421 4.3.0")
    assert [domain for domain, _ in seen(policy)].count("bad.test") == 2


def test_failures_that_strangers_repeat_do_not_fill_the_log(policy, caplog):
    """A thousand questions that fail alike are one line, whatever the domain."""
    policy.hook._functions["get_listener_domain"] = fail
    with caplog.at_level(logging.ERROR, "guard.relay"):
        check(policy, *(asked(to=f"d{number}.test") for number in range(1000)))
    assert len(caplog.messages) == 1


def fail(domain, listener, meta):
    """A hook that has a bad day."""
    raise ConnectionError(domain)


def test_it_can_be_asked_without_a_session(policy):
    """For relay-check: the verdict and the entries behind it."""

    async def talk():
        return await policy.check(asked(to="hook.test")), await policy.entries(
            asked(to="hook.test")
        )

    verdict, (sender, recipient) = asyncio.run(talk())
    assert verdict.accepts
    assert sender is None
    assert recipient.options.log_oob is Reports.LOG_THEN_DROP


def test_a_file_with_check_password_alone_leaves_relaying_to_the_files(tmp_path):
    """No hook is asked for domains then."""
    (tmp_path / "policy.py").write_text("def check_password(user, password, meta): return False")
    calls = Calls()
    hook = load_hook(tmp_path / "policy.py", calls)
    assert isinstance(relay_policy((), (), "", hook), StaticPolicy)
    assert not isinstance(relay_policy((), ()), HookPolicy)
    calls.close()
