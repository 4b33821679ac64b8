"""What a dialogue may have to wait for. Whoever owns the socket does it and answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Work:
    """Something that blocks: run `job` in a worker thread; the answer is what it returns."""

    job: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Question:
    """The relay policy or an authenticator takes its time: await it."""

    answer: Awaitable[object]


@dataclass(frozen=True, slots=True)
class Handshake:
    """STARTTLS: make the connection a TLS one; the answer is its cipher and protocol version."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The tarpit: what was said last is to be heard `seconds` later."""

    seconds: float


Pending = Pause | Work | Question | Handshake
