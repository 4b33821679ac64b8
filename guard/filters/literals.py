"""Which text every match of a regular expression contains: a test that costs next to nothing.

Reads an expression from left to right outside all groups, and where it is not sure it knows
nothing: the answer "" only means that the expression has to be searched for.
"""

from __future__ import annotations

_QUANTIFIERS = "*?{"
_CLASSES = "AbBdDsSwWZafnrtv"
_LONGER = "xuUN0123456789"


def needed_literal(pattern: str) -> str:
    """The longest text that is in every match of `pattern`; empty when there is none for sure."""
    if _may_ignore_case(pattern):
        return ""
    best, run, at = "", "", 0
    while at < len(pattern):
        literal, after = _next(pattern, at)
        if literal is None:
            return ""
        if after < len(pattern) and pattern[after] in _QUANTIFIERS:
            literal = ""
        run = run + literal if literal else ""
        best = max(best, run, key=len)
        if after < len(pattern) and pattern[after] == "+":
            run = ""
        at = after
    return best


def _may_ignore_case(pattern: str) -> bool:
    """Whether flags for the whole expression begin it."""
    return pattern.startswith("(?") and pattern[2:3] in "aiLmsux"


def _next(pattern: str, at: int) -> tuple[str | None, int]:
    """The character that must stand here ("" for anything else), and where the rest begins.

    None to give up: an alternative at the top, of which no part is needed, or an escape that is
    not read here.
    """
    char = pattern[at]
    escaped = pattern[at + 1 : at + 2] if char == "\\" else ""
    if char == "|" or (escaped and escaped in _LONGER):
        return None, at + 1
    if escaped:
        return ("" if escaped in _CLASSES else escaped), at + 2
    if char == "{":
        return "", max(pattern.find("}", at), at) + 1
    if char == "[":
        return "", _class_end(pattern, at)
    if char == "(":
        return "", _group_end(pattern, at)
    return ("" if char in ".^$*+?{}\\" else char), at + 1


def _class_end(pattern: str, at: int) -> int:
    """Where the character class that begins at `at` is over."""
    at += 2 if pattern[at + 1 : at + 2] == "^" else 1
    first = at
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        at += 2 if pattern[at] == "\\" else 1
    return at + 1


def _group_end(pattern: str, at: int) -> int:
    """Where the group that begins at `at` is over."""
    depth = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            at += 2
            continue
        if char == "[":
            at = _class_end(pattern, at)
            continue
        depth += (char == "(") - (char == ")")
        at += 1
        if depth == 0:
            break
    return at
