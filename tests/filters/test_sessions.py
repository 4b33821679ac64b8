"""Lines of one session are joined as fail2ban joins them."""

from guard.filters.sessions import LONGEST, MOST, Sessions


def merge(sessions, now=0.0, **groups):
    """What is known after a match with these groups."""
    return sessions.merge(groups, now)


def test_without_a_session_a_match_stands_alone():
    """A failure is one at once; a line that is none is none."""
    assert merge(Sessions(), ip4="192.0.2.1") == {"ip4": "192.0.2.1"}
    assert merge(Sessions(), ip4="192.0.2.1", nofail="x") is None


def test_a_failure_waits_for_the_address():
    """Failure first, address later; or the other way round."""
    sessions = Sessions()
    assert merge(sessions, mlfid="1", user="joe") is None
    assert merge(sessions, mlfid="1", nofail="connect", ip4="192.0.2.1") == {
        "user": "joe", "ip4": "192.0.2.1",
    }  # fmt: skip
    assert merge(sessions, mlfid="2", nofail="connect", ip4="192.0.2.2") is None
    assert merge(sessions, mlfid="2", user="ann") == {"ip4": "192.0.2.2", "user": "ann"}


def test_who_got_in_did_not_fail_unless_several_accounts_were_tried():
    """F-MLFGAINED takes a waiting failure back."""
    sessions = Sessions()
    assert merge(sessions, mlfid="1", user="joe") is None
    assert merge(sessions, mlfid="1", user="joe", mlfgained="in", ip4="192.0.2.1") is None
    assert merge(sessions, mlfid="2", user="joe") is None
    assert merge(sessions, mlfid="2", user="ann", mlfgained="in", ip4="192.0.2.1") is not None


def test_a_session_that_is_over_is_forgotten():
    """After F-MLFFORGET the same id is somebody else's."""
    sessions = Sessions()
    merge(sessions, mlfid="1", nofail="connect", ip4="192.0.2.1")
    assert merge(sessions, mlfid="1", mlfforget="bye", nofail="x") is None
    assert merge(sessions, mlfid="1", user="joe") is None


def test_memory_is_bounded_and_short():
    """The oldest of too many is forgotten, and one that is too old."""
    sessions = Sessions()
    for number in range(MOST + 1):
        merge(sessions, mlfid=str(number), nofail="connect", ip4="192.0.2.1")
    assert merge(sessions, mlfid="0", user="joe") is None
    assert merge(sessions, mlfid=str(MOST), user="joe") is not None
    assert merge(sessions, LONGEST + 1, mlfid=str(MOST - 1), user="joe") is None
