"""What the installed fail2ban finds in lines of a log. Run with the system's Python.

Reads {"base": FOLDER, "filter": NAME, "options": {..}, "lines": [..], "now": TIME} from stdin
and prints {"found": [[[ID, TIME, EXPRESSION], ..] per line], "slowest": SECONDS}.
"""

import json
import logging
import os
import sys
import time

sys.path.insert(0, os.environ.get("FAIL2BAN", "/usr/lib/python3/dist-packages"))
from fail2ban.client.filterreader import FilterReader
from fail2ban.server.filter import Filter
from fail2ban.server.mytime import MyTime

logging.getLogger("fail2ban").setLevel(logging.CRITICAL)
SETTERS = {
    "prefregex": lambda engine, value: setattr(engine, "prefRegex", value),
    "addfailregex": Filter.addFailRegex,
    "addignoreregex": Filter.addIgnoreRegex,
    "maxlines": Filter.setMaxLines,
    "datepattern": Filter.setDatePattern,
    "usedns": Filter.setUseDns,
    "addjournalmatch": lambda engine, value: None,
}


def engine_of(base, name, options):
    """fail2ban's own engine, set up by its own reader."""
    reader = FilterReader(name, "jail", options, basedir=base)
    assert reader.read(), f"no filter {name} in {base}"
    reader.applyAutoOptions("")
    reader.getOptions({})
    engine = Filter(None)
    engine.setUseDns("raw")
    engine.checkFindTime = False
    for command in reader.convert():
        values = command[3] if command[0] == "multi-set" else [command[3]]
        for value in values:
            SETTERS[command[2]](engine, value)
    return engine


def main():
    """One question, one answer."""
    asked = json.load(sys.stdin)
    if "now" in asked:
        MyTime.setTime(asked["now"])
    engine = engine_of(asked["base"], asked["filter"], asked.get("options", {}))
    found, slowest = [], 0.0
    for line in asked["lines"]:
        began = time.process_time()
        matches = engine.processLine(line)
        slowest = max(slowest, time.process_time() - began)
        found.append([[str(match[1]), match[2], match[0]] for match in matches])
    json.dump({"found": found, "slowest": slowest}, sys.stdout)


main()
