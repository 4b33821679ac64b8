"""Programs run without a shell, and what they say is fit for one line of a log."""

import pytest

from guard.firewall import commands
from guard.roles import Refused


def test_what_a_program_prints_is_returned():
    """Input is piped, arguments are taken as they are."""
    assert commands.run(["cat", "-"], "a; $(b)\n") == "a; $(b)\n"
    assert commands.run(["echo", "$HOME; ls"]) == "$HOME; ls\n"


def test_a_missing_program_names_its_package():
    """The operator reads what to install."""
    with pytest.raises(Refused, match=r"guard-no-such.*install the package none-such"):
        commands.run(["guard-no-such"], package="none-such")
    assert commands.find("guard-no-such") is None


def test_a_failure_is_one_printable_line():
    """What the program wrote on stderr is escaped."""
    with pytest.raises(Refused) as caught:
        commands.run(["ls", "/no\nsuch\x1b[31m"])
    assert str(caught.value).isprintable()
    assert "No such file" in str(caught.value)
