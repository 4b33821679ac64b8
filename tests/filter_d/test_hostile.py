"""Nothing that a peer writes moves a ban, hides its own, or makes matching slow.

Some thousands of lines here; `make soak` sets GUARD_SOAK and tries a hundred thousand a filter.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hostile import FORGED, haraka_lines, opensmtpd_lines, records

from guard.events import Kind, Rejection
from guard.filters.hear import event_of
from guard.filters.load import load_filter
from guard.lib.conftags import Definition, find_definition, join_call
from guard.records import decode

PROJECT = Path(__file__).parent.parent.parent
FILTERS = PROJECT / "filter.d"
ORACLE = PROJECT / "tests" / "oracles" / "fail2ban_engine.py"
SEED = 20250912
COUNT = int(os.environ.get("GUARD_SOAK", "4000"))
BATCH = 21_000  # a multiple of three, so that no session of OpenSMTPD is cut
WHEN = 1757675281.0
# Processor seconds for one line: fail2ban has one thread a jail, and all wait for each other.
STEP = 0.25


def found(name: str, options: dict[str, str], lines: list[str]) -> list[list[tuple[str, float]]]:
    """What the real fail2ban finds in each line."""
    results: list[list[tuple[str, float]]] = []
    for start in range(0, len(lines), BATCH):
        asked = {
            "base": str(PROJECT), "filter": name, "options": options, "now": WHEN + 60,
            "lines": lines[start : start + BATCH],
        }  # fmt: skip
        run = subprocess.run(
            ["/usr/bin/python3", str(ORACLE)],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            check=True,
            timeout=1800,
            env={**os.environ, "TZ": "UTC"},
        )
        answer = json.loads(run.stdout)
        assert answer["slowest"] < STEP
        results += [[(match[0], match[1]) for match in line] for line in answer["found"]]
    return results


def kinds(mode: str) -> set[Kind]:
    """The kinds that Guard counts in this mode of kumomta.conf."""
    conf = find_definition("kumomta", (FILTERS,))
    assert conf is not None
    return {Kind(word) for word in (Definition(conf, {"mode": mode}).get("kinds") or "").split()}


def kind_of(line: str) -> Kind | None:
    """What Guard, which parses the JSON, makes of it; None for nothing."""
    try:
        event = event_of(decode(line.encode("utf-8", "surrogatepass")))
    except ValueError:
        return None
    return event.kind if isinstance(event, Rejection) else None


def is_whole(line: str) -> bool:
    """Whether the record was not cut short."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


@pytest.mark.fail2ban
@pytest.mark.parametrize(
    ("mode", "time"),
    [
        ("all", None), ("relay", None), ("auth", None), ("protocol", None), ("scanner", None),
        ("aggressive", '"2025-09-12T13:08:01.440526026+02:00"'),
    ],
)  # fmt: skip
def test_a_hostile_record_is_found_for_what_it_is_or_not_at_all(mode, time):
    """The right address, the right time, the kind that Guard sees; never the forged ones."""
    made = list(records(COUNT, SEED))
    if time:
        made = [(line.replace(f"{WHEN:.0f}", time, 1), address) for line, address in made]
    results = found("kumomta", {"mode": mode}, [line for line, _ in made])
    wanted = kinds(mode)
    missed, extra = [], []
    for (line, address), matches in zip(made, results, strict=True):
        whole = is_whole(line)
        # A line that was cut before its time has none.
        assert not matches or matches in ([(address, WHEN)], [] if whole else [(address, None)])
        expected = address and kind_of(line) in wanted
        if matches and whole and not expected:
            extra.append(line)
        elif expected and not matches:
            missed.append(line)
    assert not missed, f"{len(missed)} of {COUNT} missed, such as {min(missed, key=len)}"
    assert not extra, f"{len(extra)} of {COUNT} taken for {mode}, such as {min(extra, key=len)}"


@pytest.mark.fail2ban
def test_hostile_lines_of_haraka_are_found_for_what_they_are():
    """Every connection was refused one recipient, whatever it said: all are found, none forged."""
    made = list(haraka_lines(COUNT, SEED))
    results = found("haraka", {"mode": "relay"}, [line for line, _ in made])
    for (line, address), matches in zip(made, results, strict=True):
        assert matches == ([(address, WHEN)] if address else []), (line, matches)


@pytest.mark.fail2ban
def test_hostile_sessions_of_opensmtpd_are_found_for_what_they_are():
    """A refusal belongs to the session that its line begins with, whatever name and command say."""
    made = list(opensmtpd_lines(COUNT // 3, SEED))
    results = found("opensmtpd", {"mode": "relay"}, [line for line, _ in made])
    for (line, address), matches in zip(made, results, strict=True):
        known = [match for match in matches if match[0] != "None"]
        assert known == ([(address, WHEN)] if address else []), (line, matches)


@pytest.mark.parametrize("mode", ["all", "relay", "scanner"])
def test_guards_own_engine_is_not_fooled_either(mode):
    """The same lines in the engine for text logs."""
    lines = load_filter(join_call("kumomta", {"mode": mode}), [FILTERS])
    wanted = kinds(mode)
    for line, address in records(min(COUNT, 20_000), SEED):
        match = lines.match_text(line, WHEN + 60)
        got = match and (match.address, match.time)
        if got:
            assert got[0] == address
            assert got[1] == WHEN or not is_whole(line)
        if address and len(line) < 16_000 and kind_of(line) in wanted:
            assert got, line
    assert not any(lines.tally.expired)


def test_the_lines_are_hostile():
    """Most carry the forged address, some are long, and all lines are one line for fail2ban."""
    made = [line for line, _ in records(2000, SEED)]
    assert sum(FORGED in line for line in made) > 1000
    assert max(map(len, made)) > 20_000
    assert not any("\n" in line for line in made)
