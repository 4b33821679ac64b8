"""Sample logs in fail2ban's form: lines with annotations that say what a filter has to find.

`# failJSON: {..}` describes the next line, `# filterOptions: [{..}]` the options that the following
samples are tried with, `# fileOptions` those common to a file, `# addFILE` another file.
"""

import json
import re
import time
from pathlib import Path

ANNOTATION = re.compile(r"#+ ?(failJSON|fileOptions|filterOptions|addFILE):(.+)")


class Samples:
    """The annotated lines of one sample file: (options, line, what is expected)."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.common: dict[str, str] = {}
        self.options: list[dict[str, str]] = [{}]
        self.files = [name]

    def __iter__(self):
        for name in self.files:
            expected: dict | None = None
            for line in (self.folder / name).read_bytes().split(b"\n"):
                note = ANNOTATION.match(line.decode("utf-8", "replace"))
                if note:
                    expected = self.note(note[1], json.loads(note[2]))
                elif expected is not None or (line.strip() and not line.startswith(b"#")):
                    for options in self.options:
                        if self.holds((expected or {}).get("constraint"), options):
                            yield options, line.rstrip(b"\r"), expected or {}
                    expected = None

    def note(self, kind: str, data) -> dict | None:
        """Takes an annotation in; returns what the next line is expected to be."""
        if kind == "failJSON":
            return data
        if kind == "fileOptions":
            self.common = data
        elif kind == "addFILE":
            self.files.append(data)
        else:
            sets = data if isinstance(data, list) else [data]
            merged = [{**self.common, **options} for options in sets]
            self.options = [o for o in merged if self.holds(o.get("test.condition"), o)]
        return None

    def holds(self, condition: str | None, options: dict[str, str]) -> bool:
        """The few conditions there are, none of them evaluated."""
        return {
            None: True,
            "name == 'sshd'": self.name == "sshd",
            "name=='sshd'": self.name == "sshd",
            "opts.get('mode') == 'aggressive'": options.get("mode") == "aggressive",
            "opts.get('mode') != 'aggressive'": options.get("mode") != "aggressive",
        }[condition]


def moment(expected: dict) -> float | None:
    """The time that a sample says, in the zone that the test runs in."""
    if "time" not in expected:
        return None
    return time.mktime(time.strptime(expected["time"].split(".")[0], "%Y-%m-%dT%H:%M:%S"))
