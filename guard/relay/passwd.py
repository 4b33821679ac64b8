"""Changes one user's line in the text of a credentials file, and nothing else of it. Pure."""

from __future__ import annotations

import json
import tomllib


def entry(user: str, hashed: str) -> str:
    """The line for `user`."""
    # JSON's strings are TOML's, but for DEL; surrogate pairs, which TOML does not know, stay out.
    quoted = json.dumps(user, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f'{quoted} = "{hashed}"'


def with_user(text: str, user: str, hashed: str) -> str:
    """`text` with the line of `user` replaced, or added at the end."""
    lines, at = _lines(text), _find(text, user)
    if at is None:
        lines.append(entry(user, hashed))
    else:
        lines[at] = entry(user, hashed)
    return "\n".join(lines) + "\n"


def without_user(text: str, user: str) -> str | None:
    """`text` without the line of `user`; None when there is none."""
    lines, at = _lines(text), _find(text, user)
    if at is None:
        return None
    del lines[at]
    return "".join(f"{line}\n" for line in lines)


def _lines(text: str) -> list[str]:
    # Not splitlines, which breaks at characters that TOML allows inside of a string.
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []


def _find(text: str, user: str) -> int | None:
    for at, line in enumerate(_lines(text)):
        try:
            if user in tomllib.loads(line):
                return at
        except tomllib.TOMLDecodeError:
            continue
    return None
