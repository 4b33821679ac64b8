"""What was given up is gone, for this process and whatever it runs."""

import subprocess
import sys

import pytest

from guard.firewall.privileges import FIREWALL, NET_ADMIN, NET_BIND_SERVICE, SERVICE

pytestmark = pytest.mark.root
_DROP = """
import subprocess, sys
from guard.firewall import privileges
before = privileges.held()
privileges.keep_only(getattr(privileges, sys.argv[1]))
after = privileges.held()
print(sorted(after))
masks = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout
print([line.split()[1] for line in masks.splitlines() if line.startswith(("CapEff", "CapBnd"))])
try:
    privileges._set(1 << 12, 1 << 12, 0)
    print("had it again")
except Exception as error:
    print("refused")
"""


def dropped(what: str, *wrap: str) -> list[str]:
    """What a process says that kept only `what`."""
    done = subprocess.run(
        [*wrap, sys.executable, "-c", _DROP, what], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_service_cannot_have_the_firewall_again():
    """Neither itself nor a program that it runs, though both are root."""
    held, masks, again = dropped("SERVICE")
    assert str(NET_ADMIN) not in held.strip("[]").split(", ")
    assert str(NET_BIND_SERVICE) in held
    assert again == "refused"
    for mask in masks.strip("[]").replace("'", "").split(", "):
        assert not int(mask, 16) >> NET_ADMIN & 1


def test_the_firewalls_process_keeps_two_capabilities():
    """Nothing but the network's administration, and what it runs has the same."""
    held, masks, _ = dropped("FIREWALL")
    assert held == str(sorted(FIREWALL))
    for mask in masks.strip("[]").replace("'", "").split(", "):
        assert int(mask, 16) == sum(1 << number for number in FIREWALL)


def test_the_two_have_nothing_in_common():
    """What reads strangers' bytes holds nothing that touches the firewall."""
    assert not SERVICE & FIREWALL
