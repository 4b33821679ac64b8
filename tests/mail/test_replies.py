"""Replies of remote servers, taken apart as KumoMTA does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.mail.replies import failure, is_permanent, is_success, one_line, response
from guard.records import EnhancedCode, Response


@pytest.mark.parametrize(
    ("code", "text", "expected"),
    [
        (250, "ok", Response(250, None, "ok")),
        (250, "2.0.1 w00t", Response(250, EnhancedCode(2, 0, 1), "w00t")),
        (250, "2.0.0", Response(250, EnhancedCode(2, 0, 0), "")),
        (250, "3.0.0 x", Response(250, None, "3.0.0 x")),
        (250, "2.0.0.1 x", Response(250, None, "2.0.0.1 x")),
        (250, "5.0.0 x", Response(250, None, "5.0.0 x")),
        (550, "5.1.1 no\n5.1.1 such user", Response(550, EnhancedCode(5, 1, 1), "no such user")),
        (550, "one\ntwo", Response(550, None, "one two")),
        (550, "\udcff", Response(550, None, "\ufffd")),
    ],
)
def test_taken_apart(code: int, text: str, expected: Response):
    """Vectors of KumoMTA's client_types.rs, and what bad servers send."""
    assert response(code, text) == expected


def test_own_words():
    """Ours look like theirs; a line of both is for people."""
    ours = failure(451, (4, 4, 4), "no host")
    assert one_line(ours) == "451 4.4.4 no host"
    assert one_line(Response(250)) == "250"
    assert (is_success(ours), is_permanent(ours)) == (False, False)
    assert is_permanent(Response(550))
    assert is_success(Response(250))


@given(st.integers(0, 999), st.text(alphabet=st.characters(), max_size=50))
@settings(deadline=None)
def test_any_reply_can_be_written(code: int, text: str):
    """Whatever a server says fits in a record: one line, no half characters."""
    found = response(code, text)
    found.content.encode()
    assert "\n" not in found.content
