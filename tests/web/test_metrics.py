"""Every number of the status is a metric, and nothing else is."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from guard.web.metrics import Sample, exposition, samples

STATUS = {
    "firewall": "nftables: works here",
    "bans": 3,
    "paused": False,
    "kernel": {"expected": 3, "present": 2},
    "not blocked as protected": 1,
    "report": None,
    "source": [
        {"name": "listener", "heard": 5, "last": "1s ago"},
        {"name": 'log "x"\n', "heard": 0, "behind": 7},
    ],
}


def test_samples():
    """Scalars, mappings and rows each have their form of name; text has none."""
    assert list(samples(STATUS)) == [
        Sample("guard_bans", "", 3),
        Sample("guard_paused", "", 0),
        Sample("guard_kernel_expected", "", 3),
        Sample("guard_kernel_present", "", 2),
        Sample("guard_not_blocked_as_protected", "", 1),
        Sample("guard_source_heard", "listener", 5),
        Sample("guard_source_heard", 'log "x"\n', 0),
        Sample("guard_source_behind", 'log "x"\n', 7),
    ]


def test_prometheus_reads_what_is_written():
    """Prometheus' own parser finds every sample, with names quoted as they have to be."""
    text = exposition(STATUS).decode()
    found = {
        (sample.name, sample.labels.get("name", ""), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found == {tuple(sample) for sample in samples(STATUS)}


VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8)
ROWS = st.dictionaries(st.text("ab cé_%1", min_size=1, max_size=6), VALUES, max_size=3)


@given(st.dictionaries(st.text("ab c", min_size=1, max_size=6), VALUES | ROWS | st.lists(ROWS)))
def test_any_status_has_an_exposition(status):
    """Whatever a part tells, Prometheus finds each of its numbers on the page."""
    families = text_string_to_metric_families(exposition(status).decode())
    found = sorted(sample.value for family in families for sample in family.samples)
    assert found == sorted(sample.value for sample in samples(status))
