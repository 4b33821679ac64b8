"""When a part of a feed is asked for, and until when its claims hold. Pure; time is an argument."""

from __future__ import annotations

import msgspec

from guard.feeds.copies import PartState
from guard.feeds.recipe import Recipe

BACK_OFF, JITTER = 300.0, 0.1
HOUR = 3600.0


def due(state: PartState | None, now: float, *, force: bool) -> bool:
    """Whether a part may be asked for; `force` is as soon as its owner allows.

    A clock that was set back does not lock a feed out.
    """
    if state is None or now < state.tried - HOUR:
        return True
    return now >= (state.earliest if force else state.next)


def after_success(state: PartState, recipe: Recipe, now: float, chance: float) -> PartState:
    """The state after a good contact, whether or not anything was new; `chance` is 0 to 1."""
    spread = 1 + JITTER * (chance - 0.5)
    return msgspec.structs.replace(
        state,
        fetched=now,
        tried=now,
        next=now + recipe.every * spread,
        earliest=now + recipe.least,
        fails=0,
        error="",
    )


def after_failure(
    state: PartState, recipe: Recipe, error: str, now: float, wait: float, chance: float
) -> PartState:
    """The state after a failure: later each time, never sooner than allowed, or than asked for."""
    pause = min(BACK_OFF * 2.0 ** min(state.fails, 20), recipe.every)
    return msgspec.structs.replace(
        state,
        tried=now,
        next=now + max(pause * (1 + JITTER * chance), recipe.least, wait),
        earliest=now + max(recipe.least, wait),
        fails=state.fails + 1,
        error=error,
    )


def until(state: PartState | None, recipe: Recipe) -> float:
    """When the claims of a part end unless it is heard of again; 0 when there is nothing.

    On a coarse grid, so that the end moves, and every claim with it, four times within `outlive`
    and not at each fetch.
    """
    if state is None or not state.changed:
        return 0.0
    step = recipe.outlive / 4
    return (state.fetched + recipe.outlive) // step * step + step
