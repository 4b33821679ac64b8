"""Has the next item fetched while the caller is still busy with the last: two waits become one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """`items`, each asked for one before it is wanted, in a thread that no one else sees.

    What `items` uses has to bear that. Errors come in their place.
    """
    with ThreadPoolExecutor(1, "ahead") as thread:
        end = object()
        coming = thread.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, items, end)
            yield item  # type: ignore[misc]  # it is not the end
