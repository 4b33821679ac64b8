"""The hooks that ship as examples, and hooks that fail, over a socket with TLS and AUTH."""

import logging
import smtplib
import threading
from pathlib import Path

import pytest

from guard.relay.hashes import hash_password

EXAMPLES = Path(__file__).parent.parent.parent / "etc/policy"
REFUSED = "550 5.7.1 relaying not permitted for 127.0.0.66:"
BROKEN = "421 4.3.0 mx.example.com technical difficulties"


@pytest.fixture
def credentials(tmp_path):
    """ann and eve may log in."""
    path = tmp_path / "credentials.toml"
    path.write_text("".join(f'{user} = "{hash_password(user * 2)}"\n' for user in ("ann", "eve")))
    return path


@pytest.fixture
def hook(tmp_path):
    """Writes a policy.py with a body for get_listener_domain."""

    def written(body, before=""):
        path = tmp_path / "policy.py"
        path.write_text(
            f"{before}\ndef get_listener_domain(domain, listener, conn_meta):\n    {body}\n"
        )
        return path

    return written


def test_any_authenticated_user_may_send_anywhere(listen, credentials):
    """And nobody else; nor does a wrong password help."""
    running = listen(policy=EXAMPLES / "authenticated_users.py", credentials=credentials)
    with running.client() as stranger:
        assert stranger.to("x@gmail.com").startswith(REFUSED)
    with running.logged_in("ann", "annann") as ann:
        assert ann.to("x@gmail.com") == "250 OK <x@gmail.com>"
        assert ann.to("x@elsewhere.test", "") == "250 OK <x@elsewhere.test>"
    with pytest.raises(smtplib.SMTPAuthenticationError):
        running.logged_in("ann", "wrong")


def test_a_map_says_who_may_send_to_which_domain(listen, credentials):
    """ann may send to the partner alone, eve to nobody, an unknown user not at all."""
    running = listen(policy=EXAMPLES / "users_by_domain.py", credentials=credentials)
    with running.logged_in("ann", "annann") as ann:
        assert ann.to("x@partner.example") == "250 OK <x@partner.example>"
        assert ann.to("x@archive.example").startswith(REFUSED)
        assert ann.to("x@sub.partner.example").startswith(REFUSED)
    with running.logged_in("eve", "eveeve") as eve:
        assert eve.to("x@partner.example").startswith(REFUSED)
    with running.client() as stranger:
        assert stranger.to("x@partner.example").startswith(REFUSED)


def test_hosts_send_with_the_domain_that_is_theirs(listen, tmp_path):
    """The right host with the right sender, and neither alone. The shipped list names other hosts,
    so the test has loopback addresses in their place."""
    text = (EXAMPLES / "sending_hosts.py").read_text()
    policy = tmp_path / "policy.py"
    policy.write_text(text.replace("10.0.0.0/24", "127.0.0.64/28"))
    assert policy.read_text() != text
    running = listen(policy=policy)
    with running.client() as host:
        assert host.to("x@gmail.com", "a@shop.example") == "250 OK <x@gmail.com>"
        assert host.to("x@gmail.com", "a@Shop.EXAMPLE") == "250 OK <x@gmail.com>"
        assert host.to("x@gmail.com", "a@news.example").startswith(REFUSED)
        assert host.to("x@shop.example", "a@gmail.com").startswith(REFUSED)
    with running.client("127.0.0.99") as other:
        assert other.to("x@gmail.com", "a@shop.example").startswith("550 ")


def test_what_was_asked_before_auth_is_asked_again_after_it(listen, hook, credentials):
    """KumoMTA keeps the old answer for the whole session."""
    policy = hook("return make_listener_domain(relay_to=bool(conn_meta.get_meta('authz_id')))")
    running = listen(policy=policy, credentials=credentials)
    with running.client() as client:
        assert client.to("x@gmail.com").startswith(REFUSED)
        client.rset()
        with running.logged_in("ann", "annann") as ann:
            assert ann.to("x@gmail.com").startswith("250 ")
        assert client.to("x@gmail.com").startswith(REFUSED)


def test_the_hook_sees_the_session(listen, hook):
    """Addresses, EHLO name, and nobody's name before AUTH."""
    policy = hook(
        "name = domain.partition('.')[0]\n"
        "    return make_listener_domain(relay_to=conn_meta.get_meta(name) == 'client.test')"
    )
    running = listen(policy=policy)
    with running.client() as client:
        assert client.to("x@ehlo_domain.test").startswith("250 ")
        assert client.to("x@authz_id.test").startswith(REFUSED)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('the database is\\nhunter2')", "raised ValueError: the database is"),
        ("return 42", "returned int, which is neither a listener domain nor None"),
        ("return make_listener_domain(relay_too=True)", "did you mean relay_to?"),
        ("import os; os.getpgid('x')", "raised TypeError"),
        ("return exit(3)", "raised SystemExit: 3"),
    ],
)
def test_a_failing_hook_is_421_for_that_client_alone(listen, hook, caplog, body, why):
    """No word of the reason reaches the client; the operator has it in one line."""
    policy = hook(f"if domain == 'bad.test':\n        {body}\n    return None")
    running = listen(policy=policy)
    with caplog.at_level(logging.ERROR, "guard.relay"), running.client("127.0.0.99") as victim:
        assert victim.to("x@bad.test") == BROKEN
        with pytest.raises(smtplib.SMTPServerDisconnected):
            victim.noop()
    with running.client() as another:
        assert another.to("x@good.test").startswith(REFUSED)
    assert why in caplog.text
    assert "127.0.0.99 is told 421 4.3.0" in caplog.text
    (record,) = [r for r in running.records if r.response.code == 421]
    assert "hunter2" not in str(record)


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_a_hook_that_hangs_stops_nobody_else(listen, hook, kind):
    """Even one that blocks the thread it runs in: others are served while it hangs."""
    release = threading.Event()
    policy = hook("return wait(domain)")
    policy.write_text(policy.read_text().replace("\ndef get", f"\n{kind} get"))
    running = listen(policy=policy, policy_timeout=0.5)
    module = running.live.current.hook._functions["get_listener_domain"].__globals__
    module["wait"] = lambda domain: release.wait() and None if domain == "slow.test" else None
    with running.client() as waiting, running.client("127.0.0.67") as other:
        waiting.docmd("MAIL", "FROM:<a@sender.test>")
        waiting.putcmd("RCPT", "TO:<x@slow.test>")
        for _ in range(20):
            assert other.noop()[0] == 250
        if kind == "def":
            assert other.to("x@fast.test").startswith("550 5.7.1 ")
        code, text = waiting.getreply()
        assert f"{code} {text.decode()}" == BROKEN
    release.set()
    with running.client() as later:
        assert later.to("x@fast.test").startswith(REFUSED)


def test_new_rules_hold_for_open_sessions_and_none_is_dropped(listen, hook):
    """A reload between two commands of one session."""
    running = listen()
    with running.client() as client:
        assert client.to("x@gmail.com").startswith(REFUSED)
        policy = hook("return make_listener_domain(relay_to=True)")
        running.replace(type(running.live.rules)(policy=policy))
        assert client.to("x@gmail.com") == "250 OK <x@gmail.com>"
        running.replace(type(running.live.rules)())
        assert client.to("x@gmail.com").startswith(REFUSED)
