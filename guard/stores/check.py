"""What `guard check` finds in the files that `[store]` names. Reads them, and asks no Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from guard.lib.faults import Fault
from guard.lib.secrets import BadSecret, exposed, read_secret, unseen
from guard.roles import ConfigError
from guard.stores.settings import StoreSettings


def check_store(store: StoreSettings, file: str) -> list[Fault]:
    """Warnings about `store`, which was read from `file`. Raises ConfigError with all faults."""
    if faults := [Fault(file, f"store.{key}", text) for key, text in _wrong(store)]:
        raise ConfigError(faults)
    return [Fault(file, f"store.{key}", text) for key, text in _surprising(store, file)]


def _wrong(store: StoreSettings) -> Iterator[tuple[str, str]]:
    if (url := store.redis) is None:
        return
    if url.access.secret and not unseen(store.credential):
        try:
            read_secret(store.password_file, store.credential)
        except BadSecret as error:
            yield "credential" if store.credential else "password_file", str(error)
    if url.tls:
        try:
            url.access.context()
        except BadSecret as error:
            yield "tls_certificate" if store.tls_certificate else "tls_ca", str(error)


def _surprising(store: StoreSettings, file: str) -> Iterator[tuple[str, str]]:
    url = store.redis
    if url is not None and url.password is not None and (why := exposed(Path(file))):
        yield "url", f"{why}, or name the password's file (password_file)"
    for key in ("password_file", "tls_private_key"):
        if why := exposed(getattr(store, key)):
            yield key, why
