"""How the options of a jail are written: every parser takes text and raises ValueError.

fail2ban is lax here (what is no number silently becomes the default); a slip in a file that
decides who is banned is told instead.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from guard.lib.durations import parse_duration
from guard.lib.networks import Network, parse_address

_WORDS = re.compile(r"[ ,\t\n]+")
_BOOL = {
    **dict.fromkeys(("1", "on", "true", "yes"), True),
    **dict.fromkeys(("0", "off", "false", "no"), False),
}


def parse_bool(text: str) -> bool:
    """One of fail2ban's four words for yes or their opposites."""
    try:
        return _BOOL[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def parse_count(text: str) -> int:
    """A number of rejections."""
    if not (text.isascii() and text.isdigit()) or not 1 <= len(text) <= 9 or int(text) < 1:
        raise ValueError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def parse_score(text: str) -> int:
    """A score of 1 to 100."""
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or not 1 <= int(text) <= 100:
        raise ValueError(f"{text!r} is not a score from 1 to 100")
    return int(text)


def parse_positive(text: str) -> float:
    """Seconds, more than none."""
    seconds = parse_duration(text)
    if seconds <= 0:
        raise ValueError(f"{text!r} must be longer than nothing")
    return seconds


def parse_not_negative(text: str) -> float:
    """Seconds."""
    seconds = parse_duration(text)
    if seconds < 0:
        raise ValueError(f"{text!r} must not be negative")
    return seconds


def parse_bantime(text: str) -> float | None:
    """Seconds, or None for ever."""
    return None if text == "-1" else parse_positive(text)


def parse_maxtime(text: str) -> float | None:
    """Seconds; the type is that of an option which may be missing."""
    return parse_positive(text)


def parse_networks(text: str) -> tuple[Network, ...]:
    """The words of `ignoreip`; `file:/path` has them in a file (fail2ban 1.1.1)."""
    found: list[Network] = []
    for word in filter(None, _WORDS.split(text)):
        if word.startswith("file:"):
            found += _networks_in(Path(word.removeprefix("file:")))
        else:
            found.append(_network(word))
    return tuple(found)


def _networks_in(path: Path) -> Iterator[Network]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    for line in lines:
        for word in filter(None, _WORDS.split(line.partition("#")[0].strip())):
            yield _network(word)


def _network(word: str) -> Network:
    """An address or a block; as in fail2ban a host part is allowed and the mask may be dotted."""
    host, slash, tail = word.partition("/")
    try:
        address = parse_address(host)
        if not slash:
            return address
        bits = _netmask(tail) if "." in tail else int(tail)
        if ":" in host and address.version == 4:
            bits -= 96  # ::ffff:192.0.2.0/120 is 192.0.2.0/24
        if not 0 <= bits <= address.bits:
            raise ValueError  # noqa: TRY301
        return address.supernet(bits)
    except ValueError:
        raise ValueError(
            f"{word!r} is not an address or network; Guard looks no name up here, write its address"
        ) from None


def _netmask(text: str) -> int:
    """The length of `255.255.255.0`. Raises ValueError."""
    mask = parse_address(text)
    bits = mask.value.bit_count()
    if mask.supernet(bits).value != mask.value:
        raise ValueError(f"{text!r} is not a network mask")
    return bits


def parse_command(text: str) -> str:
    """A command line that can be split without a shell, with no tag but `<ip>` and `<family>`."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be split into words: {error}") from None
    for tag in re.findall(r"<[A-Za-z][A-Za-z0-9_/-]*>", " ".join(words)):
        if tag not in ("<ip>", "<family>"):
            raise ValueError(f"{tag} is not known here, only <ip> and <family>")
    return text.strip()
