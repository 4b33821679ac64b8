"""What the installed fail2ban makes of configuration files. Run with the system's Python.

Reads {"base": FOLDER, "filters": [[NAME, {OPTION: VALUE}], ...], "jails": BOOL} from stdin and
prints {"filters": [{OPTION: TEXT}, ...], "jails": {NAME: [COMMAND, ...]}}.
"""

import json
import logging
import os
import sys

sys.path.insert(0, os.environ.get("FAIL2BAN", "/usr/lib/python3/dist-packages"))
from fail2ban.client.filterreader import FilterReader
from fail2ban.client.jailsreader import JailsReader

logging.getLogger("fail2ban").setLevel(logging.CRITICAL)
asked = json.load(sys.stdin)
answer: dict = {"filters": [], "jails": {}}
for name, passed in asked.get("filters", ()):
    reader = FilterReader(name, "jail", passed, basedir=asked["base"])
    try:
        assert reader.read()
        reader.applyAutoOptions("")
        reader.getOptions({}, all=True)
        combined = reader.getCombined()
    except Exception as error:
        combined = {"error": repr(error)}
    answer["filters"].append({k: str(v) for k, v in combined.items() if v is not None})
if asked.get("jails"):
    reader = JailsReader(basedir=asked["base"])
    reader.read()
    reader.getOptions()
    for jail in reader.jails:
        answer["jails"][jail.getName()] = jail.convert(allow_no_files=True)
json.dump(answer, sys.stdout)
