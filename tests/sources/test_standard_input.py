"""Standard input: a pipe as it comes, a file whole, the end is the end."""

import asyncio
import os

from kumo import AT, rejection

from guard.sources.recordlines import hear
from guard.sources.standard_input import StandardInput


async def numbers(source: StandardInput) -> list[int]:
    """Everything until the end."""
    return [int(event.time) - AT async for batch in source.batches() for event in batch]


def test_a_pipe_is_heard_as_it_comes():
    """A line is heard while the pipe is open; the last one needs no end."""
    ours, theirs = os.pipe()

    async def play() -> list[int]:
        batches = StandardInput(hear, ours).batches()
        os.write(theirs, rejection(1) + rejection(2)[:20])
        heard = [int(event.time) - AT for event in await anext(batches)]
        os.write(theirs, rejection(2)[20:] + rejection(3)[:-1])
        os.close(theirs)
        async for batch in batches:
            heard += [int(event.time) - AT for event in batch]
        return heard

    assert asyncio.run(play()) == [1, 2, 3]
    os.close(ours)


def test_a_file_is_heard_whole(tmp_path):
    """`guard daemon < log` works like a pipe."""
    path = tmp_path / "log"
    path.write_bytes(b"".join(map(rejection, range(3000))))
    with path.open("rb") as file:
        assert asyncio.run(numbers(StandardInput(hear, file.fileno()))) == list(range(3000))
