"""guard/smtp/ids.py: nobody else's."""

import uuid

from guard.smtp.ids import session_ids


def test_session_ids_are_uuids():
    """Version 8, one for a session, another for the next, and others in another process."""
    one, other = session_ids(), session_ids()
    some = [one() for _ in range(1000)] + [other() for _ in range(1000)]
    assert len(set(some)) == 2000
    assert {uuid.UUID(each).version for each in some} == {8}
    assert {uuid.UUID(each).variant for each in some} == {uuid.RFC_4122}
    assert {str(uuid.UUID(each)) for each in some} == set(some)
