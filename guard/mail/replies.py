"""Replies of delivery: those of remote servers taken apart, and our own in the same form. Pure."""

from __future__ import annotations

import re

from guard.records import EnhancedCode, Response
from guard.roles import GuardError

# RFC 2034, 4: class, subject and detail at the beginning of each line, a blank after.
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:[ \t]+|\Z)", re.ASCII)
_LONGEST = 2000


class Undeliverable(GuardError):
    """No recipient can be served in this attempt, for the reason in `response`."""

    def __init__(self, response: Response) -> None:
        super().__init__(one_line(response))
        self.response = response


def failure(code: int, enhanced: tuple[int, int, int], text: str) -> Response:
    """A reply of our own making."""
    return Response(code, EnhancedCode(*enhanced), text)


def response(code: int, text: str, command: str | None = None) -> Response:
    """A remote server's reply. `text` may have several lines; `command` is what it answers.

    The enhanced code is split out of the text, of every line that repeats it, as KumoMTA does;
    one whose class contradicts the code is left in.
    """
    text = _printable_utf8(text[:_LONGEST])
    found = _ENHANCED.match(text)
    if found is None or int(found[1]) != code // 100:
        return Response(code, None, " ".join(text.split("\n")), command)
    lines = [line.removeprefix(found[0].rstrip()).lstrip() for line in text.split("\n")]
    enhanced = EnhancedCode(int(found[1]), int(found[2]), int(found[3]))
    return Response(code, enhanced, " ".join(lines).strip(), command)


def one_line(response: Response) -> str:
    """`550 5.1.1 text`."""
    code = response.enhanced_code
    enhanced = f"{code.class_}.{code.subject}.{code.detail} " if code else ""
    return f"{response.code} {enhanced}{response.content}".strip()


def is_success(response: Response) -> bool:
    """2xx."""
    return response.code // 100 == 2


def is_permanent(response: Response) -> bool:
    """5xx: trying again is of no use (RFC 5321, 4.2.1)."""
    return response.code // 100 == 5


def _printable_utf8(text: str) -> str:
    """`text` without what no record can hold: bytes that were no UTF-8 come as lone surrogates."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").replace("\r", "")
