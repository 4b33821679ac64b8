"""The options of a listener domain: what may be written, and what it means.

One table serves the files, and `make_listener_domain` in an operator's hook. The names and types
are KumoMTA's (make_listener_domain, and `relay_from_authz` of its listener_domains helper); the
one departure is what `true` means for a report, see Reports.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import Prefixes
from guard.relay.verdict import Reports

ANYBODY = (Network(4, 0, 0), Network(6, 0, 0))
NOBODY = Prefixes()
_WORDS = {
    word.value: word for word in (Reports.IGNORE, Reports.LOG_THEN_DROP, Reports.LOG_THEN_RELAY)
}
_RENAMED = {"log_fbl": "log_arf", "log_relay": "relay_to", "relay_hosts": "relay_from"}

# Told of a fault: where below the option ("" for the option itself), and what.
Complain = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class ListenerDomain:
    """What is allowed for one domain.

    `relay_to`: anybody may send to it. `relay_from`, `relay_from_authz`: these hosts, and these
    authenticated users, may send to anywhere with a sender of this domain. `log_oob`, `log_arf`:
    what becomes of a bounce or complaint that is sent to it.
    """

    relay_to: bool = False
    relay_from: Prefixes = NOBODY
    relay_from_authz: frozenset[str] = frozenset()
    log_oob: Reports = Reports.IGNORE
    log_arf: Reports = Reports.IGNORE


def read_option(name: str, value: object, complain: Complain) -> object:
    """`value` as ListenerDomain holds it; None when `complain` was told why not."""
    reader = _READERS.get(name)
    if reader is None:
        complain("", unknown(name, value))
        return None
    return reader(value, complain)


def listener_domain(options: Mapping[str, object]) -> ListenerDomain:
    """The value of `options`. Raises ValueError with all that is wrong with them."""
    wrong: list[str] = []
    read: dict[str, Any] = {}
    for name, value in options.items():

        def complain(at: str, why: str, name: str = name) -> None:
            wrong.append(f"{name}{at}: {why}")

        read[name] = read_option(name, value, complain)
    if wrong:
        raise ValueError("; ".join(wrong))
    return made(read)


def made(read: Mapping[str, Any]) -> ListenerDomain:
    """The value of options that `read_option` has read."""
    return ListenerDomain(**{name: value for name, value in read.items() if name != "ttl"})


def unknown(name: str, value: object) -> str:
    """What to say of an option that does not exist."""
    if isinstance(value, dict):
        return 'unknown option; a domain with dots is written in quotes, as in ["example.com"]'
    near = _RENAMED.get(name) or next(iter(difflib.get_close_matches(name, _READERS, 1)), "")
    return "unknown option" + (f", did you mean {near}?" if near else "")


def _boolean(value: object, complain: Complain) -> bool | None:
    if type(value) is bool:
        return value
    complain("", f"must be true or false, not {value!r}")
    return None


def _reports(value: object, complain: Complain) -> Reports | None:
    if type(value) is bool:
        return Reports.LOG if value else Reports.IGNORE
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    complain("", f"must be true, false, {', '.join(map(repr, _WORDS))}, not {value!r}")
    return None


def _strings(value: object, complain: Complain) -> list[str] | None:
    if not isinstance(value, list | tuple):
        complain("", f"must be a list, not {value!r}")
        return None
    for index, item in enumerate(value):
        if not isinstance(item, str):
            complain(f"[{index}]", f"must be text in quotes, not {item!r}")
    return [item for item in value if isinstance(item, str)]


def _networks(value: object, complain: Complain) -> Prefixes:
    found: list[Network] = []
    for index, text in enumerate(_strings(value, complain) or ()):
        if text == "any":  # the cidr crate's word for every address
            found += ANYBODY
            continue
        try:
            found.append(parse_network(text))
        except ValueError as error:
            complain(f"[{index}]", str(error))
    return Prefixes(found)


def _users(value: object, complain: Complain) -> frozenset[str]:
    return frozenset(_strings(value, complain) or ())


def _nothing(value: object, complain: Complain) -> object:
    del complain  # KumoMTA accepts `ttl` and ignores it
    return value


_READERS: dict[str, Callable[[object, Complain], object]] = {
    "relay_to": _boolean,
    "relay_from": _networks,
    "relay_from_authz": _users,
    "log_oob": _reports,
    "log_arf": _reports,
    "ttl": _nothing,
}
