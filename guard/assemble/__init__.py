"""Settings -> objects: the only folder that names concrete classes.

`up`, `listener` and `daemon` make what the three services run, `Workers` what the processes of one
listener share. `operations`, and what ends in `by_hand`, do a command's work when no daemon runs;
`allowed`, `receivers`, `host_of` and `vetoes` tell commands what the settings name. `check` reads
everything and opens nothing.
"""

from guard.assemble.checking import check
from guard.assemble.deciding import allowed, lists_by_hand, operations
from guard.assemble.engine import daemon, up
from guard.assemble.enriching import checks_by_hand, vetoes
from guard.assemble.listening import listener
from guard.assemble.made import Assembled
from guard.assemble.notifying import host_of, receivers
from guard.assemble.reporting import reports_by_hand
from guard.assemble.workers import Seat, Workers

__all__ = [
    "Assembled",
    "Seat",
    "Workers",
    "allowed",
    "check",
    "checks_by_hand",
    "daemon",
    "host_of",
    "listener",
    "lists_by_hand",
    "operations",
    "receivers",
    "reports_by_hand",
    "up",
    "vetoes",
]
