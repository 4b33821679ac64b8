"""fail2ban's date patterns: strptime-like text turned into an expression and a moment.

A pattern is a regular expression in which `%` tokens stand for fields (jail.conf(5),
"datepattern"): those of strptime, fail2ban's `%k %l` (hour with a blank in front) and its exact
forms `%ExY %Exy %Exm %Exd %ExH %ExM %ExS %Exz %ExZ`; the words `Epoch`, `LEpoch`, `TAI64N`, and
`{EPOCH}` inside a pattern; `{^LN-BEG}` at its front for the begin of the line (two characters that
are no letters may come before), `{UNB}` or `**` for no word boundaries.

moments.py says which moment the fields of a match name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import timezone

import regex

from guard.filters.moments import DAYS, LONG_DAYS, LONG_MONTHS, MONTHS, moment, seconds
from guard.filters.rest import DEADLINE, Expired

Found = re.Match[str] | regex.Match[str]


def _one_of(name: str, words: tuple[str, ...]) -> str:
    return f"(?P<{name}>{'|'.join(sorted(words, key=len, reverse=True))})"


_ZONE = r"[A-Z](?:[A-Z]{2,4})?"
_OFFSET = r"[+-][01]\d(?::?\d{2})?"
_TOKENS = {
    "a": _one_of("a", DAYS),
    "A": _one_of("A", LONG_DAYS),
    "b": _one_of("b", MONTHS),
    "B": _one_of("B", LONG_MONTHS),
    "d": r"(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])",
    "Exd": r"(?P<d>[1-2]\d|0[1-9]|3[0-1])",
    "f": r"(?P<f>[0-9]{1,6})",
    "H": r"(?P<H>[0-1]?\d|2[0-3])",
    "ExH": r"(?P<H>[0-1]\d|2[0-3])",
    "k": r" ?(?P<H>[0-2]?\d)",
    "Exk": r" ?(?P<H>[0-1]?\d|2[0-3])",
    "I": r"(?P<I>1[0-2]|0[1-9]|[1-9])",
    "l": r" ?(?P<I>1?\d)",
    "Exl": r" ?(?P<I>1[0-2]|\d)",
    "j": r"(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])",
    "m": r"(?P<m>0?[1-9]|1[0-2])",
    "Exm": r"(?P<m>0[1-9]|1[0-2])",
    "M": r"(?P<M>[0-5]?\d)",
    "ExM": r"(?P<M>[0-5]\d)",
    "p": r"(?P<p>am|pm)",
    "S": r"(?P<S>[0-5]?\d|6[0-1])",
    "ExS": r"(?P<S>[0-5]\d|6[0-1])",
    "w": r"(?P<w>[0-6])",
    "y": r"(?P<y>\d{2})",
    "Exy": r"(?P<y>\d{2})",
    "Y": r"(?P<Y>\d{4})",
    # The exact year keeps phone numbers and the like from being dates; fail2ban derives the
    # century from the clock, which comes to the same for the rest of this one.
    "ExY": r"(?P<Y>20\d\d)",
    "z": rf"(?P<z>Z|UTC|GMT|{_OFFSET})",
    "Exz": rf"(?P<z>(?:{_ZONE})?{_OFFSET}|{_ZONE})",
    "Z": r"(?P<Z>Z|[A-Z]{3,5})",
    "ExZ": rf"(?P<Z>{_ZONE})",
    "%": "%",
}
_TOKEN = re.compile(r"%(%|Ex[dHkKlmMSyYzZ]|[a-zA-Z])")
_WORDS_IN_IT = re.compile(r"(?<!%)%[aAbBp]")
_EPOCH_IN_IT = re.compile(r"(?<!\\)\{(?P<long>L?)EPOCH\}", re.IGNORECASE)
_SECONDS = r"\d{10,11}\b(?:\.\d{3,6})?"
_LONG_SECONDS = r"\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?"
_FREE_EPOCH = (
    r"((?:^|(?P<square>(?<=^\[))|(?P<selinux>(?<=\baudit\()))(?P<EPOCH>%s))"
    r"(?:(?(selinux)(?=:\d+\)))|(?(square)(?=\])))"
)
_FIRST_EPOCH = r"((?P<square>(?<=^\[))?(?P<EPOCH>%s))(?(square)(?=\]))"
_BEGIN = "{^LN-BEG}"


class BadDatePattern(ValueError):
    """A date pattern that does not compile."""


@dataclass(frozen=True, slots=True)
class DatePattern:
    """A compiled pattern; group 1 is what is cut out of the line. `anchored` to begin or end."""

    source: str
    expression: re.Pattern[str] | regex.Pattern[str]
    anchored: bool

    def find(self, line: str) -> Found | None:
        """The first match in `line`. Raises Expired, but for patterns that are trusted."""
        if isinstance(self.expression, re.Pattern):
            return self.expression.search(line)
        try:
            return self.expression.search(line, timeout=DEADLINE)
        except TimeoutError:
            raise Expired from None

    def moment(self, found: Found, now: float, zone: timezone | None) -> float | None:
        """Seconds since the epoch that a match of `expression` names; None for no such date."""
        fields = {name: text for name, text in found.groupdict().items() if text is not None}
        try:
            if "EPOCH" in fields:
                return seconds(fields["EPOCH"], long="lepoch" in self.source.lower())
            if "TAI64N" in fields:
                return float(int(fields["TAI64N"][2:17], 16))
            return moment(fields, now, zone)
        except (ValueError, OverflowError, OSError):
            return None


def compile_pattern(source: str, *, trusted: bool = False) -> DatePattern:
    """The pattern that one line of `datepattern` is. Raises BadDatePattern.

    `trusted` is for patterns that no line takes long with: those of this program.
    """
    pattern = _compiled(source)
    if trusted:
        return pattern
    text = pattern.expression.pattern
    return replace(pattern, expression=regex.compile(text, regex.VERSION0))


def _compiled(source: str) -> DatePattern:
    word = source.upper().removeprefix(_BEGIN).lstrip("^")
    first = source.startswith((_BEGIN, "^"))
    try:
        if word in ("EPOCH", "LEPOCH"):
            digits = _LONG_SECONDS if word == "LEPOCH" else _SECONDS
            if first:
                return _bounded(source, _FIRST_EPOCH % digits, begin="line", end=True)
            return _bounded(source, _FREE_EPOCH % digits, begin="", end=True)
        if word == "TAI64N":
            begin = "line" if first else ""
            return _bounded(source, "(?P<TAI64N>@[0-9a-f]{24})", begin=begin, end=True)
        if _EPOCH_IN_IT.search(source):
            return _bounded(source, f"({_EPOCH_IN_IT.sub(_epoch, source)})", begin="word", end=True)
        return _of_fields(source)
    except (re.error, KeyError) as error:
        raise BadDatePattern(f"{error}, in date pattern {source!r}") from None


def _epoch(found: re.Match[str]) -> str:
    return f"(?P<EPOCH>{_LONG_SECONDS if found['long'] else _SECONDS})"


def _of_fields(source: str) -> DatePattern:
    text, begin, end = source, "word", True
    if text.startswith("{UNB}"):
        text, begin, end = text.removeprefix("{UNB}"), "", False
    if begin and text.startswith(_BEGIN):
        text, begin = text.removeprefix(_BEGIN), "line"
    flags = "(?iu)" if _WORDS_IN_IT.search(text) else ""
    text = _TOKEN.sub(lambda token: _TOKENS[token[1]], text)
    return _bounded(source, text.strip(), begin=begin, end=end, flags=flags)


_OWN_FLAGS = re.compile(r"^\(\?[a-z]+\)")
_NO_BEGIN = re.compile(r"^\(*(?:\^|\(*\*\*|\((?:\?:)?\^)")
_NO_END = re.compile(r"(?<!\\)(?:\$\)?|\\b|\\s|\*\*\)*)$")
_STARS = re.compile(r"^(\(*)\*\*|(?<!\\)\*\*(\)*)$")
_HAS_GROUP = re.compile(r"(?<!\(\?)(?<!\\)\((?!\?)")
_WHOLE = re.compile(r"^(\^?)(.*?)(\$?)$", re.DOTALL)
_LINE_BEGIN = re.compile(r"^(?:\^|\((?:\?:)?\^(?!\|))")
_LINE_END = re.compile(r"(?<![\\|])(?:\$\)?)$")


def _bounded(source: str, text: str, *, begin: str, end: bool, flags: str = "") -> DatePattern:
    """The pattern with its first group around the whole and the boundaries that it asks for."""
    own = _OWN_FLAGS.match(text)
    if own:
        flags, text = own[0], text[own.end() :]
    begin = "" if _NO_BEGIN.search(text) else begin
    end = end and not _NO_END.search(text)
    if not _HAS_GROUP.search(text):
        text = _WHOLE.sub(r"\1(\2)\3", text, count=1)
    anchored = begin == "line"
    if begin:
        text = (r"^(?:\W{0,2})?" if anchored else r"(?=^|\b|\W)") + text
    if end:
        text += r"(?=\b|\W|$)"
    anchored = anchored or bool(_LINE_BEGIN.search(text)) or bool(_LINE_END.search(text))
    text = _STARS.sub(lambda stars: (stars[1] or "") + (stars[2] or ""), text)
    return DatePattern(source, re.compile(flags + text), anchored)
