"""What is wrong with `[[notify]]` beyond its values: the files that it names. Asks no receiver."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from guard.lib.faults import Fault
from guard.lib.secrets import BadSecret, exposed, read_secret, unseen
from guard.reporters.notify.settings import (
    LEAST_SECRET,
    MailNotify,
    NotifySettings,
    Posted,
    WebhookNotify,
    in_the_clear,
    url_fault,
)
from guard.roles import ConfigError

CLEAR = "is not https: whoever is on the way reads what is told, and learns where to post"


def check_notify(items: Sequence[NotifySettings], where: str) -> list[Fault]:
    """Warnings. Raises ConfigError with all faults; `where` is the file of the settings."""
    faults: list[Fault] = []
    warnings: list[Fault] = []
    for index, item in enumerate(items):
        if isinstance(item, MailNotify):
            continue
        key = f"notify[{index}]"
        faults += [Fault(where, f"{key}.{name}", text) for name, text in _faults(item)]
        warnings += [Fault(where, f"{key}.{name}", text) for name, text in _warnings(item)]
    if faults:
        raise ConfigError(faults)
    return warnings


def _faults(item: Posted) -> Iterator[tuple[str, str]]:
    if item.url is None and not unseen(item.url_credential):
        try:
            url = read_secret(item.url_file, item.url_credential)
            if fault := url_fault(url.reveal()):
                yield _url_key(item), f"{url.place}: {fault}"
        except BadSecret as error:
            yield _url_key(item), str(error)
    if isinstance(item, WebhookNotify) and item.signed and not unseen(item.secret_credential):
        try:
            read_secret(item.secret_file, item.secret_credential, least=LEAST_SECRET, words=True)
        except BadSecret as error:
            yield "secret_file" if item.secret_file else "secret_credential", str(error)


def _warnings(item: Posted) -> Iterator[tuple[str, str]]:
    if text := exposed(item.url_file):
        yield "url_file", text
    if isinstance(item, WebhookNotify) and (text := exposed(item.secret_file)):
        yield "secret_file", text
    if item.url is not None and item.type != "webhook":
        yield "url", "whoever reads this file may post there: url_file keeps it apart"
    try:
        url = item.url or read_secret(item.url_file, item.url_credential).reveal()
    except BadSecret:
        return
    if in_the_clear(url):
        yield "url" if item.url else _url_key(item), CLEAR


def _url_key(item: Posted) -> str:
    return "url_file" if item.url_file else "url_credential"
