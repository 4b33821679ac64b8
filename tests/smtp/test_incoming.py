"""guard/smtp/incoming.py: what touches the disk, and what becomes of a message."""

import pytest

from guard.mail.spool import FileSpool
from guard.relay.reports import Report
from guard.relay.verdict import Reports, Verdict
from guard.smtp.incoming import REPORT_PREFIX, Accepted, Incoming, no_reports

RELAY = Verdict(relay=True)
RECEPTION, OTHER = object(), object()


@pytest.fixture
def spool(tmp_path):
    """A real one."""
    made = FileSpool(tmp_path / "spool")
    made.open()
    return made


def begin(spool, verdict):
    """A message with some text."""
    incoming = Incoming(spool, "a@b.c", ["d@e.f"], {}, verdict)
    incoming.write(b"text")
    return incoming


def files(spool):
    """How many messages are being received, and how many are kept."""
    return len(list(spool.tmp.iterdir())), len(list(spool.new.iterdir()))


def test_a_relayed_message_is_kept(spool):
    """Committed under the id that was told before."""
    incoming = begin(spool, RELAY)
    assert files(spool) == (1, 0)
    assert incoming.finish(RECEPTION, no_reports) == Accepted(incoming.id, (RECEPTION,))
    assert files(spool) == (0, 1)
    assert (spool.new / incoming.id).read_bytes().endswith(b"\ntext")
    incoming.abort()
    assert files(spool) == (0, 1)


MODES = [
    # relay, mode of the verdict, recognised, on disk while received, kept, accepted
    (False, Reports.LOG_THEN_DROP, False, 0, 0, False),
    (False, Reports.LOG_THEN_DROP, True, 0, 0, True),
    (False, Reports.LOG, False, 0, 0, False),
    (False, Reports.LOG, True, 0, 0, True),
    (False, Reports.LOG_THEN_RELAY, False, 1, 0, False),
    (False, Reports.LOG_THEN_RELAY, True, 1, 1, True),
    (True, Reports.LOG_THEN_DROP, False, 1, 1, True),
    (True, Reports.LOG_THEN_DROP, True, 1, 0, True),
    (True, Reports.LOG, True, 1, 1, True),
    (True, Reports.LOG_THEN_RELAY, True, 1, 1, True),
]


@pytest.mark.parametrize(("relay", "mode", "recognised", "disk", "kept", "accepted"), MODES)
def test_reports(spool, relay, mode, recognised, disk, kept, accepted):
    """The table of what a report or another message comes to; strangers' never touch the disk."""
    incoming = begin(spool, Verdict(relay=relay, log_oob=mode))
    assert files(spool) == (disk, 0)

    def reader(message, reception, verdict):
        assert message == b"text"
        return Report(mode, (OTHER,)) if recognised else None

    outcome = incoming.finish(RECEPTION, reader)
    records = (RECEPTION, OTHER) if recognised else (RECEPTION,)
    assert outcome == (Accepted(incoming.id, records) if accepted else None)
    assert files(spool) == (0, kept)


def test_a_complaint_replaces_the_reception(spool):
    """As with KumoMTA: Feedback stands in its place."""
    incoming = begin(spool, Verdict(relay=False, log_arf=Reports.LOG_THEN_DROP))
    report = Report(Reports.LOG_THEN_DROP, (OTHER,), replaces=True)
    assert incoming.finish(RECEPTION, lambda *_: report) == Accepted(incoming.id, (OTHER,))


def test_memory_is_bounded(spool):
    """Of what may be a report the first part is kept, of anything else nothing."""
    incoming = begin(spool, Verdict(relay=False, log_oob=Reports.LOG))
    for _ in range(100):
        incoming.write(b"x" * 65536)
    assert len(incoming._prefix) < REPORT_PREFIX + 65536
    assert begin(spool, RELAY)._prefix is None
