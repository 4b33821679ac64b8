"""Every sample beside the shipped filters, in the real fail2ban and in Guard."""

import json
import os
import re
import subprocess
import time
from collections import defaultdict
from pathlib import Path

import pytest
from failjson import Samples, moment

from guard.filters.load import load_filter
from guard.lib.conftags import join_call

PROJECT = Path(__file__).parent.parent.parent
SAMPLES = PROJECT / "filter.d" / "samples"
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_engine.py"
ZONE = "CET-1CEST,M3.5.0,M10.5.0/3"
NOW = 1757679000.0
NAMES = sorted(path.name for path in SAMPLES.iterdir())


@pytest.fixture(autouse=True)
def _zone(monkeypatch):
    """The zone that the samples were written in."""
    monkeypatch.setenv("TZ", ZONE)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def by_options(name):
    """The samples of one file, in groups of equal options."""
    groups = defaultdict(list)
    for options, line, expected in Samples(SAMPLES, name):
        groups[tuple(sorted(options.items()))].append((line.decode(), expected))
    return groups.items()


def expectation(expected):
    """What has to be found: nothing, or (host, time)."""
    return (expected["host"], moment(expected)) if expected.get("match") else None


def test_every_filter_has_samples():
    """And no sample is of a filter that is not there."""
    assert sorted(path.stem for path in (PROJECT / "filter.d").glob("*.conf")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_guard_finds_what_the_samples_say(name):
    """Guard's own engine: found or not, whom, and when."""
    hits = defaultdict(int)
    for options, samples in by_options(name):
        lines = load_filter(join_call(name, dict(options)), [PROJECT / "filter.d"])
        for line, expected in samples:
            match = lines.match_text(line, NOW)
            wanted = expectation(expected)
            if wanted and "/" in wanted[0]:
                wanted = (wanted[0].partition("/")[0], wanted[1])
            got = match and (match.address, float(int(match.time)))
            assert got == wanted, (options, expected, line)
        for source, count in zip(lines.expressions, lines.tally.matches, strict=True):
            hits[source] += count
    assert all(hits.values()), [source for source, count in hits.items() if not count]


@pytest.mark.fail2ban
@pytest.mark.parametrize("name", NAMES)
def test_fail2ban_finds_what_the_samples_say(name):
    """The real engine: found or not, whom, and when."""
    for options, samples in by_options(name):
        asked = {
            "base": str(PROJECT), "filter": name, "options": dict(options), "now": NOW,
            "lines": [line for line, _ in samples],
        }  # fmt: skip
        run = subprocess.run(
            ["/usr/bin/python3", str(ORACLE)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "TZ": ZONE},
        )
        found = json.loads(run.stdout)["found"]
        for (line, expected), matches in zip(samples, found, strict=True):
            got = (matches[0][0], float(int(matches[0][1]))) if matches else None
            assert got == expectation(expected), (options, expected, line)


@pytest.mark.fail2ban
@pytest.mark.parametrize("name", NAMES)
def test_fail2ban_regex_takes_the_files_as_they_are(name, tmp_path):
    """As an operator would try them: the counts of the most sensitive mode."""
    mode = {"kumomta": "all", "haraka": "aggressive", "guard": "ban", "opensmtpd": "aggressive"}[
        name
    ]
    log = tmp_path / "log"
    samples = [
        (line, expected)
        for options, line, expected in Samples(SAMPLES, name)
        if options.get("mode") == mode
    ]
    log.write_bytes(b"\n".join(line for line, _ in samples) + b"\n")
    run = subprocess.run(
        ["fail2ban-regex", str(log), f"{PROJECT}/filter.d/{name}.conf[mode={mode}]"],
        capture_output=True,
        text=True,
    )
    matched = sum(bool(expected.get("match")) for _, expected in samples)
    # A refusal in a session that nobody has heard of is a match for fail2ban-regex.
    matched += sum(expected.get("desc") == "nobody knows who" for _, expected in samples)
    counts = re.search(r"Lines: (\d+) lines, \d+ ignored, (\d+) matched", run.stdout)
    assert counts, run.stdout
    assert [int(count) for count in counts.groups()] == [len(samples), matched], run.stdout
