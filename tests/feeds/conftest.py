"""A server of lists."""

import pytest
from listserver import ListServer


@pytest.fixture
def server():
    """One that serves nothing yet."""
    with ListServer() as made:
        yield made
