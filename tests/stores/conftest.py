"""Both stores, each behind one way to open it again."""

from collections.abc import Callable
from typing import Protocol

import pytest

from guard.roles import Counters, Ledger
from guard.stores.embedded import EmbeddedStore


class Store(Protocol):
    """What every store gives."""

    counters: Counters
    ledger: Ledger

    def close(self) -> None: ...


Open = Callable[[], Store]


@pytest.fixture(params=["memory", "embedded"])
def open_store(request, tmp_path):
    """Opens the store under test; a second call opens the same one again after a close."""
    opened: list[Store] = []

    def keep(store):
        opened.append(store)
        return store

    if request.param == "memory":
        yield lambda: keep(EmbeddedStore(None))
    elif request.param == "embedded":
        yield lambda: keep(EmbeddedStore(tmp_path / "state"))
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store):
    """One open store, empty."""
    return open_store()


@pytest.fixture
def reopened(open_store, request):
    """Opens the store, and after a close opens the same again; for those that keep anything."""
    if "memory" in request.node.name:
        pytest.skip("memory alone keeps nothing")
    return open_store
