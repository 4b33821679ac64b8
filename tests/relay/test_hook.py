"""policy.py: loading it, its faults, and what its functions are given and may return."""

import asyncio
import sys

import pytest

from guard.lib.networks import parse_address
from guard.relay.calls import CallFailed, Calls
from guard.relay.hook import ConnMeta, conn_meta, load_hook, make_listener_domain
from guard.relay.login import Login
from guard.relay.options import ListenerDomain
from guard.relay.verdict import Asked, Reports
from guard.roles import ConfigError

NOBODY = ConnMeta({})


@pytest.fixture
def calls():
    """Calls with a short limit, closed afterwards."""
    some = Calls(0.5)
    yield some
    some.close()


@pytest.fixture
def load(tmp_path, calls):
    """Loads a policy.py of the given text."""

    def loaded(text: str):
        path = tmp_path / "policy.py"
        path.write_text(text)
        return load_hook(path, calls)

    return loaded


def ask(hook, domain="a.test", meta=NOBODY):
    """What get_listener_domain answers."""
    return asyncio.run(hook.get_listener_domain(domain, "192.0.2.1:25", meta))


def test_make_listener_domain_takes_a_table_or_keywords():
    """As KumoMTA's, and as Python has it."""
    made = ListenerDomain(relay_to=True, log_oob=Reports.LOG)
    assert make_listener_domain({"relay_to": True, "log_oob": True}) == made
    assert make_listener_domain(relay_to=True, log_oob=True) == made
    assert make_listener_domain({"relay_to": True}, log_oob=True) == made
    with pytest.raises(ValueError, match="log_fbl: unknown option, did you mean log_arf"):
        make_listener_domain(log_fbl=True)
    with pytest.raises(ValueError, match=r"relay_from\[0\]: 10.0.0.1/8 is not a valid CIDR"):
        make_listener_domain(relay_from=["10.0.0.1/8"])


def test_conn_meta_has_kumomtas_names():
    """Addresses with ports, IPv6 in brackets; what there is not is None."""
    asked = Asked(parse_address("::1"), 4242, "[::1]:25", "", "", "mx.test", "ann")
    meta = conn_meta(asked)
    assert meta.get_meta("received_from") == "[::1]:4242"
    assert meta.get_meta("received_via") == "[::1]:25"
    assert meta.get_meta("ehlo_domain") == "mx.test"
    assert meta.get_meta("authz_id") == meta.get_meta("authn_id") == "ann"
    assert meta.get_meta("nonsense") is None
    bare = conn_meta(Asked(parse_address("192.0.2.1"), 1, "h:25", "", ""))
    assert bare.get_meta("received_from") == "192.0.2.1:1"
    assert bare.get_meta("authz_id") is None
    assert bare.get_meta("ehlo_domain") is None


def test_a_hook_sees_kumomtas_arguments(load):
    """Domain, listener, conn_meta; make_listener_domain is there without an import."""
    hook = load(
        "def get_listener_domain(domain, listener, conn_meta):\n"
        "    assert (domain, listener) == ('a.test', '192.0.2.1:25')\n"
        "    return make_listener_domain(relay_to=conn_meta.get_meta('authz_id') == 'ann')\n"
    )
    assert hook.has("get_listener_domain")
    assert not hook.has("check_password")
    assert ask(hook, meta=ConnMeta({"authz_id": "ann"})) == ListenerDomain(relay_to=True)
    assert ask(hook) == ListenerDomain()


@pytest.mark.parametrize(
    "text",
    [
        "from guard.relay.hook import make_listener_domain\n"
        "async def get_listener_domain(domain, listener, conn_meta):\n"
        "    return make_listener_domain(relay_to=True)\n",
        "class Policy:\n"
        "    def __call__(self, *args):\n"
        "        return make_listener_domain({'relay_to': True})\n"
        "get_listener_domain = Policy()\n",
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class Rules:\n"
        "    relay: bool = True\n"
        "def get_listener_domain(domain, listener, conn_meta):\n"
        "    return make_listener_domain(relay_to=Rules().relay)\n",
    ],
    ids=["async", "callable", "dataclass"],
)
def test_a_hook_is_ordinary_python(load, text):
    """Async functions, callable objects and dataclasses work."""
    assert ask(load(text)) == ListenerDomain(relay_to=True)


def test_none_is_an_answer(load):
    """No explicit configuration."""
    assert ask(load("def get_listener_domain(*args): pass")) is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("return 42", "returned int, which is neither a listener domain nor None"),
        ("return {'relay_to': True}", "returned dict"),
        ("return True", "returned bool"),
        ("raise ValueError(domain)", "raised ValueError: a.test (line 2 of "),
        ("return make_listener_domain(relay_two=True)", "relay_two: unknown option, did you mean"),
        ("import time; time.sleep(2)", "gave no answer within 0.5s"),
    ],
)
def test_no_useful_answer_is_a_failure_with_a_reason(load, body, why):
    """Rubbish, an exception and silence alike."""
    hook = load(f"def get_listener_domain(domain, listener, conn_meta):\n    {body}\n")
    with pytest.raises(CallFailed) as error:
        ask(hook)
    assert why in str(error.value)


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ("x = = 1\n", "line 1", "not Python: invalid syntax"),
        ("import no_such_module_x\n", "line 1", "ModuleNotFoundError: No module named"),
        ("x = 1\ndef f():\n    return y\nf()\n", "line 3", "NameError: name 'y' is not defined"),
        ("raise SystemExit(1)", "line 1", "SystemExit: 1"),
        ("x = '\0'", "line", "not Python"),
        ("x = 1", "", "has no function get_listener_domain or check_password"),
        ("get_listener_domain = 5", "get_listener_domain", "must be a function of (domain, list"),
        ("def get_listener_domain(domain): pass", "get_listener_domain", "must be a function of"),
        ("def check_password(user): pass", "check_password", "of (user, password, conn_meta)"),
    ],
)
def test_a_file_with_a_fault_is_a_configuration_error(load, tmp_path, text, key, message):
    """File, place and reason; nothing of it runs later."""
    with pytest.raises(ConfigError) as error:
        load(text)
    (fault,) = error.value.faults
    assert fault.file == str(tmp_path / "policy.py")
    assert fault.key.startswith(key)
    assert message in fault.message


def test_a_missing_file_is_a_configuration_error(tmp_path, calls):
    """With the system's words."""
    with pytest.raises(ConfigError, match=r"none\.py: No such file or directory"):
        load_hook(tmp_path / "none.py", calls)


def test_a_changed_file_is_read_anew_and_leaves_no_byte_code(load, tmp_path):
    """Even when it changed within one second, at the same length."""
    text = "def get_listener_domain(d, l, c): return make_listener_domain(relay_to={})"
    first, second = load(text.format("True ")), load(text.format("False"))
    assert ask(first) == ListenerDomain(relay_to=True)
    assert ask(second) == ListenerDomain()
    assert [path.name for path in tmp_path.iterdir()] == ["policy.py"]
    del sys.modules[f"guard policy {tmp_path / 'policy.py'}"]


def login(user, password):
    """An attempt to authenticate."""
    return Login(user, password, parse_address("192.0.2.7"), 4242, "192.0.2.1:25", "client.test")


def test_check_password_says_yes_or_no(load):
    """Anything but a truth value is no answer: an object would be true by accident."""
    hook = load(
        "def check_password(user, password, conn_meta):\n"
        "    assert conn_meta.get_meta('received_from') == '192.0.2.7:4242'\n"
        "    assert conn_meta.get_meta('ehlo_domain') == 'client.test'\n"
        "    assert conn_meta.get_meta('authz_id') is None\n"
        "    return password == user * 2\n"
    )
    assert hook.has("check_password")
    assert asyncio.run(hook.check_password(login("a", "aa"))) is True
    assert asyncio.run(hook.check_password(login("a", "a"))) is False
    hook = load("def check_password(user, password, conn_meta): return object()\n")
    with pytest.raises(CallFailed, match="returned object, which is neither True nor False"):
        asyncio.run(hook.check_password(login("a", "aa")))


def test_a_password_never_reaches_a_failures_text(load):
    """Whatever check_password raises with it, the log gets type and line alone."""
    hook = load("def check_password(user, password, conn_meta):\n    raise KeyError(password)\n")
    with pytest.raises(CallFailed) as error:
        asyncio.run(hook.check_password(login("ann", "hunter2")))
    assert str(error.value).startswith("raised KeyError (line 2 of ")
    assert "hunter2" not in repr(error.value) + repr(error.value.__context__)
    assert "hunter2" not in repr(login("ann", "hunter2"))
