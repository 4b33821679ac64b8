"""Killed with SIGKILL at any moment, a store has all that it said was done, and nothing else."""

import copy
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import crash_child
import pytest
from model import Model

from guard.stores import tables

CHILD = Path(crash_child.__file__)
KILLS = 200 if os.environ.get("GUARD_SOAK") else 8
SEED = "a seed"


def run_until_killed(place, first, seconds):
    """Runs a child for a while; returns the last step that it said was done."""
    process = subprocess.Popen(
        [sys.executable, str(CHILD), place, SEED, str(first)], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(seconds)
        process.kill()
        said = process.stdout.read().split("\n")
    # A line that was cut short was not said.
    return int(said[-2]) if len(said) > 1 else first - 1


def same(store, model, now):
    """Whether store and model agree on everything."""
    if set(store.ledger.claims(now)) != model.claims(now):
        return False
    pasts = store.ledger.past(crash_child.NETWORKS, now)
    for network, past in zip(crash_child.NETWORKS, pasts, strict=True):
        if past.strikes != model.known_strikes(network, now):
            return False
        held = ((o.jail, o.time) for o in store.counters.counted(network))
        limits = crash_child.WINDOWS
        recent = sorted((j, t) for j, t in held if t > now - limits[j].findtime)
        if recent != model.counted(network, limits, now):
            return False
    return True


def play(place):
    """Kill after kill on one store, which goes on where the last child was ended."""
    model, step, rnd = Model(), 0, random.Random(SEED)
    steps = 0
    for _ in range(KILLS):
        last = run_until_killed(place, step, rnd.random() * 0.15)
        while step <= last:
            crash_child.perform(model, SEED, step)
            step += 1
        further = copy.deepcopy(model)
        crash_child.perform(further, SEED, step)
        store = crash_child.opened(place)
        now = crash_child.time_of(step)
        if not same(store, model, now):
            # The step that was under way may have been done, wholly.
            assert same(store, further, now)
            model, step = further, step + 1
        store.close()
        steps = step
    assert steps > KILLS


@pytest.mark.parametrize("name", ["state", "crowded"])
def test_embedded(tmp_path, monkeypatch, name):
    """Memory, journal and SQLite."""
    monkeypatch.setattr(tables, "MANY", tables.MANY)  # the child's, imported here, may change it
    play(str(tmp_path / name))


@pytest.mark.redis
@pytest.mark.parametrize("server", ["redis", "valkey"])
def test_redis(server, request):
    """A process that uses Redis; Redis itself is killed in another test."""
    play(request.getfixturevalue(f"{server}_url"))
