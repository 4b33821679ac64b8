"""The plug-in points. Read this folder first: it is enough to write a new source or firewall from.

    Source -> Counters -> (jails decide) -> Ledger -> Firewall
                                              ^  |
                                        feeds-+  +-> reporters
    Sink: where the listener says what it refused or accepted.   Spool: where accepted mail waits.

`hearing` has the roles of sources, `keeping` those of stores, `blocking` those of firewalls and of
protection, `knowing` those of services that are asked, `mailing` the spool's. Whoever needs one
imports it from here.

Conventions of all roles:

* A method that may block the event loop is a plain function, called in a worker thread. Each
  object is used by one thread at a time, unless its role says otherwise.
* Time is an argument (`now`, seconds since the epoch).
* A part that cannot do its work raises `Unavailable` (a service is gone: try again), of these
  `Lost` (only a new start of Guard helps), or `Refused` (never works like this: tell the operator).
  It never retries and never swallows; daemon.py does the retrying, with back-off.
* Optional abilities are a Protocol of their own, never a flag.

To add one: write a class with these methods in the role's folder, and name it in assemble/.
`firewall/dryrun.py` and `sources/channel.py` are the shortest examples. A feed is a value, of
`feeds/recipe.py`; who is told of bans has the methods of `chronicle.Told`.
"""

from guard.roles.blocking import Carving, Firewall, Protection
from guard.roles.errors import (
    BadInput,
    ConfigError,
    Forbidden,
    GuardError,
    Lost,
    Refused,
    Unavailable,
)
from guard.roles.hearing import Finishing, Marking, Sink, Source, Telling
from guard.roles.keeping import (
    Counters,
    Crowds,
    Emptying,
    ExactCounters,
    Ledger,
    Permits,
    Quotas,
    Remembering,
    Standing,
)
from guard.roles.knowing import Enricher, Suspects
from guard.roles.mailing import Spool, SpoolFile

__all__ = [
    "BadInput",
    "Carving",
    "ConfigError",
    "Counters",
    "Crowds",
    "Emptying",
    "Enricher",
    "ExactCounters",
    "Finishing",
    "Firewall",
    "Forbidden",
    "GuardError",
    "Ledger",
    "Lost",
    "Marking",
    "Permits",
    "Protection",
    "Quotas",
    "Refused",
    "Remembering",
    "Sink",
    "Source",
    "Spool",
    "SpoolFile",
    "Standing",
    "Suspects",
    "Telling",
    "Unavailable",
]
