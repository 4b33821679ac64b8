"""Policies made ready for connections: TLS contexts and passwords, read once and kept."""

from __future__ import annotations

import ssl
from pathlib import Path

from guard.mail.client import Terms, Timeouts
from guard.mail.policy import Policy
from guard.mail.replies import Undeliverable, failure
from guard.mail.settings import TlsMode


class TermsMaker:
    """Makes `Terms`. A file that cannot be read fails the delivery for now, and says so."""

    def __init__(self, hostname: str, timeouts: Timeouts) -> None:
        self._hostname, self._timeouts = hostname, timeouts
        self._contexts: dict[tuple[TlsMode, Path | None], ssl.SSLContext] = {}

    def forget(self) -> None:
        """Has certificates of authorities read anew."""
        self._contexts.clear()

    def of(self, policy: Policy) -> Terms:
        """What connections for `policy` have in common. Raises Undeliverable."""
        try:
            return Terms(
                hostname=self._hostname,
                mode=policy.tls,
                tls=self._context(policy.tls, policy.tls_ca),
                username=policy.username,
                # Read each time: an operator who changes it expects no restart.
                password=policy.password_file.read_text().strip() if policy.password_file else None,
                timeouts=self._timeouts,
            )
        except OSError as error:  # of which ssl's own errors are
            text = f"{error.filename or policy.tls_ca}: {error.strerror or error}"
            raise Undeliverable(failure(451, (4, 3, 5), text)) from error

    def _context(self, mode: TlsMode, authorities: Path | None) -> ssl.SSLContext | None:
        if mode == "off":
            return None
        key = (mode, authorities)
        if key not in self._contexts:
            context = ssl.create_default_context(cafile=authorities)
            if mode not in ("required", "implicit"):
                # Most servers have no certificate that proves anything; and a forger could as
                # well leave STARTTLS out.
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            self._contexts[key] = context
        return self._contexts[key]
