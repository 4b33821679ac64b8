"""The namespaces that the firewall's tests play in."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from netns import World, settle


@pytest.fixture
def world() -> Iterator[World]:
    """A server, an offender and an innocent host, of this test alone."""
    with ExitStack() as stack:
        made = World(stack)
        settle(made)
        yield made
