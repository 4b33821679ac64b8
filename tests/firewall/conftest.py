"""The namespaces that the firewall's tests play in."""

from collections.abc import Iterator

import pytest
from netns import World, reachable_world


@pytest.fixture
def world() -> Iterator[World]:
    """A server, an offender and an innocent host, of this test alone."""
    with reachable_world() as made:
        yield made
