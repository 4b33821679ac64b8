"""What a listener_domains file says and its author may not have meant, as warnings.

Pure; `guard check` prints them. Everything here is legal and means the same to KumoMTA: what is
not legal (host bits in a CIDR, `log_fbl`) is a fault of listener_domains.py. Each warning names
file and key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from guard.lib.faults import Fault
from guard.lib.networks import Network, parse_address, parse_network
from guard.lib.prefixes import Prefixes
from guard.relay.domain import canonical_domain
from guard.relay.hiding import hidden
from guard.relay.listener_domains import EVERY, Entry, ListenerDomains
from guard.relay.verdict import Reports

_PRIVATE = Prefixes(
    map(
        parse_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    )
)


def warnings(
    domains: ListenerDomains,
    relay_hosts: Iterable[Network] = (),
    file: str = "",
    key: str = "relay_hosts",
) -> list[Fault]:
    """All traps of one listener; `file` and `key` are the place of its `relay_hosts`."""
    found = list(domains.notes)
    if _everybody(relay_hosts := Prefixes(relay_hosts)):
        found.append(Fault(file, key, f"a relay for everybody: {_size(relay_hosts)}"))
    sections = {entry.listener: entry for entry in domains.entries if entry.listener != EVERY}
    for listener, entry in sections.items():
        if why := _dead_listener(listener):
            found.append(Fault(entry.file, f'listener."{listener}"', f"can never match: {why}"))
    for entry in domains.entries:
        for trap in _TRAPS:
            found += trap(entry)
    return found + hidden(domains.entries)


def forgeable(proxies: Iterable[Network], file: str, key: str) -> list[Fault]:
    """A warning if strangers may say by a PROXY header who they are."""
    if not _everybody(networks := Prefixes(proxies)):
        return []
    message = f"a relay for everybody, who may claim to come from relay_hosts: {_size(networks)}"
    return [Fault(file, key, message)]


def _fault(entry: Entry, option: str, message: str) -> Fault:
    file = entry.files.get(option, entry.file)
    return Fault(file, f"{entry.key}.{option}" if option else entry.key, message)


def _reports(entry: Entry) -> Iterator[Fault]:
    for option in ("log_oob", "log_arf"):
        mode = getattr(entry.options, option)
        if entry.domain == EVERY and mode is not Reports.IGNORE:
            yield _fault(
                entry,
                option,
                "every stranger gets past RCPT, for any domain; name the domains that such "
                "reports come to",
            )
        if mode is Reports.LOG_THEN_RELAY and not entry.options.relay_to:
            yield _fault(
                entry,
                option,
                "relays for strangers whatever is shaped like a report; true or "
                '"LogThenDrop" does not',
            )


def _open(entry: Entry) -> Iterator[Fault]:
    labels = entry.domain.split(".")
    if entry.options.relay_to and labels[0] == EVERY and len(labels) <= 2:
        reach = "any domain" if entry.domain == EVERY else f"every domain of .{labels[1]}"
        yield _fault(entry, "relay_to", f"a relay for everybody, to {reach}")
    if _everybody(entry.options.relay_from):
        yield _fault(
            entry, "relay_from", f"a relay for everybody: {_size(entry.options.relay_from)}"
        )


def _everybody(networks: Prefixes) -> bool:
    """Whether public networks add up to more than a /8 of IPv4 or a /32 of IPv6."""
    public = networks.minus(_PRIVATE)
    return public.addresses(4) > 1 << 24 or public.addresses(6) > 1 << 96


def _size(networks: Prefixes) -> str:
    widest = min(networks, key=lambda n: n.length - n.bits)
    return f"{widest} and the like hold far more hosts than one operator has"


def _dead_domain(entry: Entry) -> Iterator[Fault]:
    """Keys are compared byte for byte with lower-case A-labels."""
    domain = entry.domain
    name = domain.removeprefix("*.")
    canonical = canonical_domain(name)
    if domain == EVERY or (canonical == name and _is_name(name)):
        return
    if "*" in name:
        hint = "`*` stands only for the whole beginning of a name, as in `*.example.com`"
    elif canonical != name and _is_name(canonical):
        hint = f'write "{domain[: -len(name)]}{canonical}"'
    else:
        hint = "it is not a domain name"
    yield _fault(entry, "", f"can never match: {hint}")


def _is_name(name: str) -> bool:
    if not name or name.startswith("["):
        return True  # "" is what <> and <Postmaster> are looked up by
    labels = name.split(".")
    return (
        name.isascii()
        and name.isprintable()
        and not any(c in name for c in ' *@:/\\"<>')
        and len(name) <= 253
        and all(0 < len(label) <= 63 for label in labels)
    )


def _dead_listener(listener: str) -> str:
    """Why a section that is named so can never match, or "".

    Its name is compared with the local address of the accepted socket, as Guard writes it.
    """
    host, _, port = listener.rpartition(":")
    try:
        address = parse_address(host[1:-1] if host.startswith("[") else host)
    except ValueError:
        return 'a section is named by local address and port, as in "192.0.2.1:25"'
    if not address.value:
        return f"a connection arrives at one address of this host, never at {host}"
    right = f"[{address}]" if address.version == 6 else str(address)
    if right != host or not (port.isascii() and port.isdigit()):
        return f'write "{right}:{port}"'
    return ""


def unreachable(
    domains: ListenerDomains,
    *,
    authenticates: bool,
    ports: Collection[int],
    elsewhere: Collection[str] = (),
) -> list[Fault]:
    """What never holds because of the listeners: nobody can log in, or none has the port.

    `elsewhere` are files that a listener where one can log in reads too.
    """
    found = []
    for entry in domains.entries:
        useless = entry.options.relay_from_authz and not authenticates
        if useless and entry.files.get("relay_from_authz", entry.file) not in elsewhere:
            message = "nobody can authenticate here: there are neither credentials nor a hook"
            found.append(_fault(entry, "relay_from_authz", message))
    for listener, entry in {entry.listener: entry for entry in domains.entries}.items():
        port = listener.rpartition(":")[2]
        if not _dead_listener(listener) and ports and int(port) not in ports:
            message = f"can never match: no [[listener]] has port {port}"
            found.append(Fault(entry.file, f'listener."{listener}"', message))
    return found


_TRAPS: tuple[Callable[[Entry], Iterable[Fault]], ...] = (
    _reports,
    _open,
    _dead_domain,
)
