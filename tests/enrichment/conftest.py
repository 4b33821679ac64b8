"""A server that answers from pages, a quota in memory, and services to ask."""

import pytest
from listserver import ListServer

from guard.enrichment.allowance import Allowance
from guard.lib.secrets import Secret

KEY = "c0ffee00c0ffee00c0ffee00c0ffee00"
NOON = 1_757_678_400.0  # 2025-09-12 12:00 UTC


class Quotas:
    """The role in memory: what was taken of each name, days aside."""

    def __init__(self):
        self.used = {}

    def take(self, name, limit, wanted, now):
        """Grants what is left."""
        day = (name, now // 86400)
        granted = max(0, min(wanted, limit - self.used.get(day, 0)))
        self.used[day] = self.used.get(day, 0) + granted
        return granted

    def left(self, name, limit, now):
        """What is left."""
        return limit - self.used.get((name, now // 86400), 0)

    def told(self, name, limit, left, now):
        """Never gives back."""
        day = (name, now // 86400)
        self.used[day] = max(self.used.get(day, 0), limit - left)


@pytest.fixture
def server():
    """A web server of this test."""
    with ListServer() as made:
        yield made


@pytest.fixture
def quotas():
    """Quotas that nobody has spent."""
    return Quotas()


@pytest.fixture
def allowance(quotas):
    """A hundred questions a day."""
    return Allowance(quotas, "test", 100)


@pytest.fixture
def key():
    """How the key is read."""
    return lambda: Secret(KEY)
