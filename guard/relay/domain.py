"""From an address in an envelope to the domain that rules are looked up by.

Pure. Takes what the SMTP parser accepted; never raises, whatever a peer wrote: a domain that is
no domain comes back in lower case and matches nothing but `*`.
"""

from __future__ import annotations

import re
from socket import AF_INET6, inet_ntop, inet_pton

from guard.lib.networks import parse_address

_LABEL = re.compile(r"(?:[a-z0-9_-]|[^\x00-\x7f])+")


def domain_of(address: str) -> str:
    """The domain of a mailbox or path, canonical; `""` for `<>`, `<Postmaster>` and no domain.

    Source routes are ignored (RFC 5321, appendix C): the domain of `@a,@b:u@c` is `c`. An address
    literal stays in its brackets.
    """
    text = address.strip().removeprefix("<").removesuffix(">")
    local, at, domain = text.rpartition("@")
    if not at or not local or domain.endswith('"'):  # the @ of a quoted local part is none
        return ""
    return canonical_domain(domain)


def canonical_domain(domain: str) -> str:
    """`domain` in lower-case A-labels, without a final dot; `[10.0.0.1]`, `[IPv6:::1]`.

    Lower case also where IDNA forbids the name (an underscore, say): DNS has no case, and a rule
    must not be escaped by capitals. KumoMTA keeps the case of such names.
    """
    if domain.startswith("[") and domain.endswith("]"):
        return _literal(domain[1:-1])
    domain = domain.removesuffix(".")
    return domain.lower() if domain.isascii() else _a_labels(domain)


def _literal(text: str) -> str:
    """RFC 5321, 4.1.3. It is a name, not a peer: an IPv4-mapped address keeps its IPv6 form."""
    tagged = text[:5].lower() == "ipv6:"
    try:
        if tagged or ":" in text:
            packed = inet_pton(AF_INET6, text[5:] if tagged else text)
            return f"[IPv6:{inet_ntop(AF_INET6, packed)}]"
        return f"[{parse_address(text)}]"
    except (OSError, ValueError):
        return f"[{text.lower()}]"


def _a_labels(domain: str) -> str:
    """UTS 46, non-transitional, and no more: names that IDNA 2008 dislikes exist in DNS.

    What maps to anything else than a host name (U+FF1E becomes `>`) is no domain, and is kept.
    """
    import idna  # some milliseconds, and most mail is ASCII

    try:
        mapped = idna.uts46_remap(domain, std3_rules=False, transitional=False)
        labels = mapped.removesuffix(".").split(".")
        if all(map(_LABEL.fullmatch, labels)):
            named = ".".join(map(_a_label, labels))
            if all(len(label) <= 63 for label in named.split(".")):
                return named
    except (idna.IDNAError, UnicodeError):
        pass
    return domain.lower()


def _a_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")
