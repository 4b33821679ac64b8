"""The files that ship and the snippets of docs/relay.md are what they say they are."""

import re
import tomllib
from pathlib import Path

import pytest

from guard.config import parse as parse_settings
from guard.lib.networks import parse_address
from guard.relay.calls import Calls
from guard.relay.hook import load_hook
from guard.relay.listener_domains import load, parse
from guard.relay.live import Rules, examine
from guard.relay.options import _READERS, ListenerDomain
from guard.relay.verdict import Reports

PROJECT = Path(__file__).parent.parent.parent
DOC = (PROJECT / "docs/relay.md").read_text()


def snippets(language):
    """The code blocks of docs/relay.md in one language."""
    return re.findall(rf"```{language}\n(.*?)```", DOC, re.DOTALL)


def test_the_shipped_domains_file_has_no_trap(tmp_path):
    """Neither a fault nor a warning, in the file that people start from."""
    credentials = tmp_path / "credentials.toml"
    credentials.touch(0o600)
    domains = PROJECT / "etc/listener_domains.toml"
    assert examine(Rules(listener_domains=[domains], credentials=credentials), [25]) == []


def test_the_shipped_domains_file_means_what_its_comments_say():
    """Each entry, by the look-up."""
    some = load([PROJECT / "etc/listener_domains.toml"])

    def at(domain, listener="192.0.2.1:25"):
        found = some.find(domain, listener)
        return found and found.options

    accepts = ListenerDomain(relay_to=True)
    assert at("example.com") == at("a.b.customers.example.com") == accepts
    assert at("customers.example.com") is None
    assert at("other.example.com") is None
    assert at("bounce.example.com") == ListenerDomain(log_oob=Reports.LOG_THEN_DROP)
    assert at("fbl.example.com") == ListenerDomain(log_arf=Reports.LOG_THEN_DROP)
    assert at("left.customers.example.com") == at("x.left.customers.example.com")
    assert at("left.customers.example.com") == ListenerDomain()
    assert at("shop.example.com").relay_from.covers(parse_address("192.0.2.15"))
    assert at("staff.example.com").relay_from_authz == {"ann", "bob"}
    assert at("partner.example") is None
    assert at("partner.example", "192.0.2.25:25") == accepts


@pytest.mark.parametrize(
    "path", sorted((PROJECT / "etc/policy").glob("*.py")), ids=lambda p: p.stem
)
def test_every_example_of_a_hook_loads(path):
    """As it stands."""
    calls = Calls()
    assert load_hook(path, calls).has("get_listener_domain")
    calls.close()


def test_the_documentations_snippets_are_valid():
    """guard.toml, a domains file, two hooks."""
    settings, domains = snippets("toml")
    parse_settings(tomllib.loads(settings), Path("guard.toml"))
    assert parse(tomllib.loads(domains)).entries
    for text in snippets("python"):
        compile(text, "policy.py", "exec")


def test_every_option_is_documented():
    """What may be written in a domains file stands in docs/relay.md."""
    assert all(f"`{name}" in DOC for name in _READERS if name != "ttl")
