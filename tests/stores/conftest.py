"""Both stores, each behind one way to open it again."""

from collections.abc import Callable
from typing import Protocol

import pytest

from guard.roles import Counters, Ledger, Standing
from guard.stores import tables
from guard.stores.embedded import EmbeddedStore
from guard.stores.redis_store import RedisStore
from guard.stores.shelter import ShelteredStore


class Store(Protocol):
    """What every store gives."""

    counters: Counters
    ledger: Ledger
    standing: Standing

    def close(self) -> None: ...


Open = Callable[[], Store]


def opener(name, request):
    """How a store of the fixtures' names is opened."""
    if name == "memory":
        return lambda: EmbeddedStore(None)
    if name == "crowded":  # as if there were very many addresses
        request.getfixturevalue("monkeypatch").setattr(tables, "MANY", -1)
    if name in ("embedded", "crowded"):
        path = request.getfixturevalue("tmp_path") / "state"
        return lambda: EmbeddedStore(path)
    url = request.getfixturevalue("valkey_url" if name == "valkey" else "redis_url")
    return lambda: ShelteredStore(url) if name == "sheltered" else RedisStore(url)


def opening(name, request):
    """The same, closing at the end whatever was opened."""
    opened: list[Store] = []
    open_one = opener(name, request)

    def keep() -> Store:
        opened.append(open_one())
        return opened[-1]

    request.addfinalizer(lambda: [store.close() for store in opened])
    return keep


@pytest.fixture(params=["memory", "embedded", "crowded", "redis", "valkey", "sheltered"])
def store(request):
    """One open store, empty."""
    return opening(request.param, request)()


@pytest.fixture(params=["embedded", "crowded", "redis", "valkey"])
def reopened(request):
    """Opens a store, and after a close opens the same one again."""
    return opening(request.param, request)
