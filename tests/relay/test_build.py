"""The policy of a listener from its files."""

import pytest

from guard.lib.networks import parse_address
from guard.relay.build import relay_policy
from guard.relay.calls import Calls
from guard.relay.hook import load_hook
from guard.relay.hooked import HookPolicy
from guard.relay.policy import StaticPolicy
from guard.relay.verdict import Asked
from guard.roles import ConfigError


def test_files_alone_make_a_policy_that_answers_at_once(tmp_path):
    """With relay_hosts and the place that is told for them."""
    (tmp_path / "d.json").write_text('{"a.test": {"relay_to": true}}')
    policy = relay_policy([parse_address("192.0.2.1")], [tmp_path / "d.json"], "g:relay_hosts")
    assert isinstance(policy, StaticPolicy)
    asked = Asked(parse_address("192.0.2.1"), 1, "h:25", "", "b.test")
    assert policy.check(asked).where == "g:relay_hosts"
    asked = Asked(parse_address("192.0.2.2"), 1, "h:25", "", "a.test")
    assert policy.check(asked).where == f'{tmp_path / "d.json"}:"a.test".relay_to'


def test_a_hook_goes_before_the_files(tmp_path):
    """One that decides about domains; the policy knows both."""
    (tmp_path / "p.py").write_text("def get_listener_domain(*about): return None")
    calls = Calls()
    hook = load_hook(tmp_path / "p.py", calls)
    policy = relay_policy([parse_address("192.0.2.1")], (), "w", hook)
    assert isinstance(policy, HookPolicy)
    assert policy.hook is hook
    assert policy.where == "w"
    calls.close()


def test_faults_of_the_files_are_raised(tmp_path):
    """As ConfigError, for the command line's exit code 78."""
    with pytest.raises(ConfigError, match="No such file"):
        relay_policy((), [tmp_path / "none.toml"])
