"""`guard status` of a real daemon: figures say how old they are."""

import re
from contextlib import closing

import pytest
from netns import eventually
from service import Service, guard

CONFIG = """
[state]
dir = "state"
[firewall]
backend = "dry-run"
reconcile = "1s"
"""


@pytest.fixture
def daemon(tmp_path):
    file = tmp_path / "guard.toml"
    file.write_text(CONFIG)
    service = Service("daemon", file)
    service.close = service.stop
    with closing(service):
        service.start()
        yield service


def test_when_the_kernel_was_compared(daemon):
    """Nothing before the first time; then how long ago, in words and as a number."""

    def compared():
        (answer,) = daemon.ask("status")
        found = answer["kernel"]
        assert ("checked_ago" in found) == ("expected" in found) == ("present" in found)
        return found.get("checked_ago")

    assert eventually(lambda: compared() is not None)
    assert 0 <= compared() < 60
    said = guard("status", "-c", str(daemon.config)).stdout
    (line,) = (each for each in said.splitlines() if each.startswith("kernel "))
    assert re.search(r"expected 0, present 0, checked \d+s ago, alarm 0$", line)
