"""What strangers answer, made harmless: short plain ASCII, numbers in their range, or nothing.

Their JSON is taken apart value by value, so that one of a wrong type costs that value alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from guard.enrichment.settings import Keyed
from guard.lib.logs import printable
from guard.lib.secrets import Secret
from guard.lib.webcall import Answer, Call, CallFailed, call
from guard.roles import Refused, Unavailable

LONGEST = 80
MINUTE, HOUR = 60.0, 3600.0
_decode = msgspec.json.Decoder(dict[str, Any]).decode

Tree = Mapping[str, Any]
_NOTHING: Tree = {}


class LookUpFailed(Unavailable):
    """There is no answer; `wait` is how many seconds the service is to be left alone."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


class NotAsked(Refused):
    """What this service cannot be asked about."""


def text(value: object) -> str:
    """A stranger's value in a few words; empty for what is no text, number or truth."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value) if abs(value) < 1e15 else ""
    return printable(value[:LONGEST].strip())[:LONGEST] if isinstance(value, str) else ""


def number(value: object, most: int = 10**9) -> int | None:
    """A whole number from 0 to `most`, or None."""
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most
    return value if good and isinstance(value, int) else None


def branch(tree: Tree, *names: str) -> Tree:
    """The object at this place in `tree`; an empty one where there is none."""
    for name in names:
        found = tree.get(name)
        if not isinstance(found, dict):
            return _NOTHING
        tree = found
    return tree


def facts(pairs: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Those of `pairs` that say something."""
    return {name: said for name, value in pairs if (said := text(value))}


def read(body: bytes) -> Tree | None:
    """The JSON object that `body` is, or None."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def question(
    settings: Keyed,
    path: str,
    secrets: Mapping[str, Secret],
    query: Mapping[str, str] | None = None,
) -> Call:
    """What to ask the service of `settings`, below its URL."""
    return Call(
        url=f"{settings.url}/{path}",
        query=query or {},
        secrets=secrets,
        timeout=settings.timeout,
        contact=settings.contact,
        proxy=settings.proxy,
    )


def ask(name: str, asked: Call, now: float) -> tuple[Answer, Tree]:
    """The answer of the service `name`, with its JSON; 200 and 404 only. Raises LookUpFailed."""
    try:
        answer = call(asked)
    except CallFailed as error:
        raise LookUpFailed(str(error)) from None
    body = answer.body
    for secret in asked.secrets.values():  # a service may repeat the key that it was sent
        body = body.replace(secret.reveal().encode(), b"...")
    tree = read(body)
    if answer.status not in (200, 404):
        raise _failure(name, answer, tree or {}, now)
    if tree is None:
        raise LookUpFailed(f"{name}: its answer is no JSON", MINUTE)
    return answer, tree


# What a status means, and how long to stay away where the service does not say.
_STATUS = {
    401: ("it does not take the key", HOUR),
    402: ("the plan does not allow that", HOUR),
    403: ("it does not let the key in", HOUR),
    422: ("it does not understand the question", 0.0),
    429: ("the quota is spent", MINUTE),
}


def _failure(name: str, answer: Answer, tree: Tree, now: float) -> LookUpFailed:
    said, wait = _STATUS.get(answer.status, (f"status {answer.status}", MINUTE))
    detail = text(_detail(tree))
    wait = max(answer.wait(now), wait)
    return LookUpFailed(f"{name}: {said}" + (f": {detail}" if detail else ""), wait)


def _detail(tree: Tree) -> str:
    """The words of an error: AbuseIPDB's form, VirusTotal's, GreyNoise's."""
    errors = tree.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    detail = first.get("detail") if isinstance(first, dict) else None
    for found in (detail, branch(tree, "error").get("message"), tree.get("message")):
        if isinstance(found, str):
            return found
    return ""
