"""What `guard check` reads of the files that `[queue]` names, without delivering anything."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from guard.lib.faults import Fault
from guard.mail.settings import QueueSettings
from guard.roles import ConfigError


def check_queues(queues: Mapping[str, QueueSettings], where: str) -> None:
    """Tries every password and authority file. Raises ConfigError with all faults.

    `where` is the configuration file that they are named in.
    """
    faults: list[Fault] = []
    for name, queue in queues.items():
        faults += [Fault(where, f'queue."{name}".{key}', said) for key, said in _faults(queue)]
    if faults:
        raise ConfigError(faults)


def _faults(queue: QueueSettings) -> list[tuple[str, str]]:
    found = []
    if queue.password_file is not None:
        try:
            if not queue.password_file.read_text().strip():
                found.append(("password_file", f"{queue.password_file}: is empty"))
        except (OSError, UnicodeDecodeError) as error:
            found.append(("password_file", _said(queue.password_file, error)))
    if queue.tls_ca is not None:
        try:
            ssl.create_default_context(cafile=queue.tls_ca)
        except ssl.SSLError:
            found.append(("tls_ca", f"{queue.tls_ca}: has no certificate"))
        except OSError as error:
            found.append(("tls_ca", _said(queue.tls_ca, error)))
    return found


def _said(path: object, error: OSError | UnicodeDecodeError) -> str:
    reason = (error.strerror if isinstance(error, OSError) else None) or "is not text"
    return f"{path}: {reason}"
