"""An attempt to log in."""

from guard.lib.networks import parse_address
from guard.relay.login import Login


def test_its_text_never_shows_the_password():
    """Whatever prints it: a log line, a traceback's locals, an assertion."""
    login = Login("ann", "hunter2", parse_address("192.0.2.1"), 1, "192.0.2.2:25", "x.test")
    for text in (repr(login), str(login), f"{login}", f"{[login]}"):
        assert "hunter2" not in text
        assert "ann" in text
