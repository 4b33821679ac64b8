"""A filter file made ready: `postfix[mode=auth]` and folders in, a Filter out, or every fault.

The file is the operator's or a stranger's who shared it; an expression that does not compile, or
that captures nobody, is told with its text. Nothing of it is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timezone
from pathlib import Path

from guard.filters.expressions import compile_expression
from guard.filters.textfilter import IDENTITIES, Filter
from guard.lib.conftags import Definition, find_definition, join_call, split_call
from guard.lib.faults import Fault
from guard.roles import ConfigError

MOST_LINES = 100


class FilterError(ConfigError):
    """A filter that cannot be used; `faults` has every reason."""


def load_filter(call: str, folders: Sequence[Path], zone: timezone | None = None) -> Filter:
    """The filter that `call`, such as `postfix[mode=auth]`, names, from the first folder with it.

    Raises FilterError with all faults of the file and its expressions.
    """
    try:
        name, passed = split_call(call)
        conf = find_definition(name, tuple(folders))
    except ValueError as error:
        raise FilterError([Fault("", "filter", str(error))]) from None
    if conf is None:
        searched = ", ".join(map(str, folders))
        raise FilterError([Fault(searched, "", f"there is no filter {name!r}")])
    options = _Options(Definition(conf, passed), ", ".join(conf.files[-1:]))
    failregex = options.lines("failregex")
    if not failregex and not options.faults:
        options.fault("failregex", "is empty: the filter can match nothing")
    maxlines = options.number("maxlines", MOST_LINES)
    options.check(failregex)
    faults = [*conf.faults, *options.faults]
    if faults:
        raise FilterError(faults)
    try:
        return Filter(
            join_call(name, passed),
            failregex,
            ignoreregex=options.lines("ignoreregex"),
            prefregex=options.text("prefregex"),
            datepattern=options.text("datepattern") or None,
            zone=zone,
            maxlines=maxlines,
        )
    except ValueError as error:
        raise FilterError([Fault(options.file, "[Definition]", str(error))]) from None


class _Options:
    """The options of a filter file, with the faults found in reading them."""

    def __init__(self, definition: Definition, file: str) -> None:
        self.definition, self.file = definition, file
        self.faults: list[Fault] = []

    def fault(self, option: str, message: str) -> None:
        self.faults.append(Fault(self.file, f"[Definition] {option}", message))

    def text(self, option: str) -> str:
        try:
            return (self.definition.get(option) or "").strip()
        except ValueError as error:
            self.fault(option, str(error))
            return ""

    def number(self, option: str, most: int) -> int:
        text = self.text(option) or "1"
        if text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most:
            return int(text)
        self.fault(option, f"{text!r} is not a number from 1 to {most}")
        return 1

    def lines(self, option: str) -> list[str]:
        return [line for line in self.text(option).split("\n") if line.strip()]

    def check(self, failregex: Sequence[str]) -> None:
        """Notes every expression that does not compile, and those that name no offender."""
        names = frozenset[str]()
        for option, texts in (("prefregex", self.lines("prefregex")), ("failregex", failregex)):
            for text in texts:
                try:
                    groups = names | compile_expression(text).groups
                except ValueError as error:
                    self.fault(option, str(error))
                    continue
                if option == "prefregex":
                    names = groups
                elif not groups & {*IDENTITIES, "mlfid"}:
                    self.fault(option, f"captures no address: {text!r}")
