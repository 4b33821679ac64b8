"""One file of fail2ban's configuration, line by line: sections, options, comments, faults.

The dialect is Python's ConfigParser as fail2ban sets it up (jail.conf(5), "CONFIGURATION FILES
FORMAT"): names in lower case, values continued by indentation, `#` and `;` at the start of a line
and ` ;` inside it begin a comment. Pure; what is wrong is told with its line, and the rest is read.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from guard.lib.faults import Fault

DEFAULT = "DEFAULT"
_SECTION = re.compile(r"\[(?P<name>.+)\]")
_OPTION = re.compile(r"(?P<name>.*?)\s*[=:]\s*(?P<value>.*)")
_COMMENT = re.compile(r"(?:^|(?<=\s));")


class Option(NamedTuple):
    """What one file says. `rank` is the place of that file in the order of reading."""

    text: str
    file: str = ""
    rank: int = 0


Sections = dict[str, dict[str, Option]]


def parse(text: str, file: str, rank: int = 0) -> tuple[Sections, list[Fault]]:
    """The sections of one file as written, and everything that is wrong with it."""
    reading = _Reading(file)
    for number, line in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1):
        reading.line(number, line)
    sections = {
        name: {
            option: Option("\n".join(lines).rstrip(), file, rank)
            for option, lines in options.items()
        }
        for name, options in reading.sections.items()
    }
    return sections, reading.faults


class _Reading:
    """One pass over the lines of a file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.sections: dict[str, dict[str, list[str]]] = {}
        self.faults: list[Fault] = []
        self.section = ""
        self.value: list[str] | None = None
        self.indent = 0

    def fault(self, number: int, option: str, message: str) -> None:
        key = f"[{self.section}] {option}".strip() if self.section else option
        self.faults.append(Fault(self.file, key, f"line {number}: {message}"))

    def line(self, number: int, line: str) -> None:
        text, comment = _uncomment(line)
        if not text:
            # An empty line belongs to the value that it is in; a comment does not.
            if self.value is not None and not comment:
                self.value.append("")
            return
        indent = len(line) - len(line.lstrip())
        if self.value is not None and indent > self.indent:
            self.value.append(text)
            return
        self.indent = indent
        header = _SECTION.match(text)
        if header:
            self.begin(number, header["name"])
        else:
            self.option(number, text)

    def begin(self, number: int, name: str) -> None:
        self.section, self.value = name, None
        if name in self.sections and name != DEFAULT:
            self.fault(number, "", "the section is in this file twice")
        self.sections.setdefault(name, {})

    def option(self, number: int, text: str) -> None:
        found = _OPTION.fullmatch(text)
        if not self.section:
            self.fault(number, "", f"no [section] before {text[:40]!r}")
        elif found is None or not found["name"]:
            self.fault(number, "", f"neither a [section] nor name = value: {text[:40]!r}")
            self.value = None
        else:
            name, options = found["name"].lower(), self.sections[self.section]
            if name in options:
                self.fault(number, name, "is in this section twice")
            self.value = options[name] = [found["value"]]


def _uncomment(line: str) -> tuple[str, bool]:
    """What a line says, and whether it has a comment."""
    if line.lstrip().startswith(("#", ";")):
        return "", True
    comment = _COMMENT.search(line)
    return (line[: comment.start()] if comment else line).strip(), comment is not None
