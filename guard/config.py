"""guard.toml -> typed settings, or every fault at once.

Settings are frozen dataclasses beside the code that they configure; their annotations say how a
TOML value is read (guard/lib/fields.py). A class may have `faults()` for what a single value does
not show. Nothing here opens anything but the configuration file.
"""

from __future__ import annotations

import difflib
import tomllib
import types
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from guard.enrichment.settings import CheckSettings
from guard.feeds.settings import FeedSettings
from guard.firewall.settings import FirewallSettings
from guard.jails.settings import JailsSettings
from guard.lib.faults import Fault
from guard.lib.fields import Endpoint, RelativePath
from guard.mail.settings import DeliverySettings, LogSettings, QueueSettings
from guard.protect.settings import ProtectSettings
from guard.reporters.notify.settings import NotifySettings, name_of
from guard.reporters.settings import ReportSettings
from guard.roles import ConfigError
from guard.smtp.settings import ListenerSettings
from guard.sources.settings import SourceSettings
from guard.stores.settings import StateSettings, StoreSettings
from guard.web.settings import WebSettings

STATUS_PAGE = Endpoint("127.0.0.1", 8025)
DEFAULT_PATH = Path("/etc/guard/guard.toml")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The whole of guard.toml."""

    state: StateSettings = field(default_factory=StateSettings)
    store: StoreSettings = field(default_factory=StoreSettings)
    log: LogSettings = field(default_factory=LogSettings)
    listener: tuple[ListenerSettings, ...] = ()
    delivery: DeliverySettings = field(default_factory=DeliverySettings)
    queue: dict[str, QueueSettings] = field(default_factory=dict)
    source: tuple[SourceSettings, ...] = ()
    jails: JailsSettings = field(default_factory=JailsSettings)
    protect: ProtectSettings = field(default_factory=ProtectSettings)
    firewall: FirewallSettings = field(default_factory=FirewallSettings)
    feed: tuple[FeedSettings, ...] = ()
    report: ReportSettings = field(default_factory=ReportSettings)
    check: CheckSettings = field(default_factory=CheckSettings)
    notify: tuple[NotifySettings, ...] = ()
    web: WebSettings = field(default_factory=WebSettings)

    def faults(self) -> Iterator[tuple[str, str]]:
        """What no single section shows: (key, message)."""
        seen: dict[object, int] = {}
        for index, listener in enumerate(self.listener):
            for first, other in enumerate(self.listener[:index]):
                if _meet(listener.listen, other.listen):
                    message = f"{listener.listen} is taken by listener[{first}], {other.listen}"
                    yield f"listener[{index}].listen", message
                    break
        for index, source in enumerate(self.source):
            first = seen.setdefault(source, index)
            if first != index:
                yield f"source[{index}]", f"is source[{first}] again: all would count twice"
        for index, feed in enumerate(self.feed):
            name = feed.name or feed.type
            first = seen.setdefault(name, index)
            if first != index:
                yield f"feed[{index}].name", f"feed[{first}] is called {name!r} too"
        yield from self._notify_faults()

    def _notify_faults(self) -> Iterator[tuple[str, str]]:
        names: dict[str, int] = {}
        for index, item in enumerate(self.notify):
            name = name_of(item)
            first = names.setdefault(name, index)
            if first != index:
                yield f"notify[{index}].name", f"notify[{first}] is called {name!r} too"
            if item.type == "mail" and not self.delivery.enabled:
                message = "mail leaves through our own delivery, and [delivery] is off"
                yield f"notify[{index}].type", message


def _meet(one: Endpoint, other: Endpoint) -> bool:
    """Whether only one of both can be bound: one is the other, or every address of its family."""
    if one.port != other.port or not one.port:
        return False
    for wide, host in ((one.host, other.host), (other.host, one.host)):
        if wide in ("", host) or wide == ("::" if ":" in host else "0.0.0.0"):
            return True
    return False


def defaults() -> Settings:
    """What runs without a configuration file: safe on any machine, no root, nothing blocked."""
    return Settings(listener=(ListenerSettings(),), web=WebSettings(listen=STATUS_PAGE))


def load(path: Path | None = None) -> Settings:
    """The settings in `path`; None is /etc/guard/guard.toml if it exists, else the defaults.

    Raises ConfigError with all faults found.
    """
    if path is None:
        if not DEFAULT_PATH.exists():
            return defaults()
        path = DEFAULT_PATH
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError([Fault(str(path), "", error.strerror or str(error))]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(path), "", f"not TOML: {error}")]) from None
    return parse(data, path)


def parse(data: dict[str, Any], path: Path) -> Settings:
    """The settings in `data`, which was read from `path`. Raises ConfigError."""
    reader = _Reader(path)
    settings = reader.table(Settings, data, "")
    if reader.faults:
        raise ConfigError(reader.faults)
    assert isinstance(settings, Settings)
    return settings


class _Bad:
    """Stands for a value that had a fault, so that reading goes on to find the others."""


_BAD = _Bad()


class _Reader:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: list[Fault] = []

    def fault(self, key: str, message: str) -> _Bad:
        self.faults.append(Fault(str(self.path), key, message))
        return _BAD

    def table(self, cls: Any, data: object, key: str) -> object:
        """An instance of the dataclass `cls`, or _BAD with the faults noted."""
        if not isinstance(data, dict):
            return self.fault(key, f"must be a table, not {_name(data)}")
        hints, prefix, before = _hints(cls), f"{key}." if key else "", len(self.faults)
        for unknown in data.keys() - hints.keys():
            near = difflib.get_close_matches(unknown, hints, 1)
            self.fault(
                prefix + unknown, "unknown key" + (f", did you mean {near[0]}?" if near else "")
            )
        values = {}
        for spec in fields(cls):
            if spec.name in data:
                values[spec.name] = self.value(
                    hints[spec.name], data[spec.name], prefix + spec.name
                )
            elif spec.default is MISSING and spec.default_factory is MISSING:
                self.fault(prefix + spec.name, "is missing")
        if len(self.faults) > before:
            return _BAD
        made = cls(**values)
        for name, message in made.faults() if hasattr(made, "faults") else ():
            self.fault(prefix + name, message)
        return made

    def value(self, hint: Any, data: object, key: str) -> object:
        """`data` as `hint` says, or _BAD with the fault noted."""
        origin, args = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self.parsed(args[0], args[1], data, key)
        if origin in (Union, types.UnionType):
            return self.union([arg for arg in args if arg is not type(None)], data, key)
        if origin is Literal:
            if data in args:
                return data
            return self.fault(key, f"{data!r} is not one of {', '.join(map(str, args))}")
        if origin is tuple:
            if not isinstance(data, list):
                return self.fault(key, f"must be a list, not {_name(data)}")
            return tuple(self.value(args[0], item, f"{key}[{i}]") for i, item in enumerate(data))
        if origin is dict:
            if not isinstance(data, dict):
                return self.fault(key, f"must be a table, not {_name(data)}")
            return {
                name: self.value(args[1], item, f'{key}."{name}"') for name, item in data.items()
            }
        if _is_table(hint):
            return self.table(hint, data, key)
        return self.plain(hint, data, key)

    def plain(self, hint: type, data: object, key: str) -> object:
        if hint is float and type(data) is int:
            return float(data)
        if type(data) is not hint:
            return self.fault(key, f"must be {_NAMES[hint]}, not {_name(data)}")
        return data

    def parsed(self, hint: type, parser: Any, data: object, key: str) -> object:
        if isinstance(parser, RelativePath):
            if not isinstance(data, str) or not data:
                return self.fault(key, f"must be a path in quotes, not {_name(data)}")
            return self.path.parent / Path(data).expanduser()
        try:
            return parser(data)
        except ValueError as error:
            return self.fault(key, str(error))

    def union(self, options: list[Any], data: object, key: str) -> object:
        """One of several tables, told by `type`; else a list where one is, else the first."""
        tables = {
            get_args(_hints(o)["type"])[0]: o
            for o in options
            if _is_table(o) and "type" in _hints(o)
        }
        if tables:
            kind = data.get("type") if isinstance(data, dict) else None
            if kind in tables:
                return self.table(tables[kind], data, key)
            return self.fault(f"{key}.type", f"{kind!r} is not one of {', '.join(tables)}")
        for option in options:
            if (get_origin(option) is tuple) == isinstance(data, list):
                return self.value(option, data, key)
        return self.value(options[0], data, key)


_NAMES = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def _name(data: object) -> str:
    kinds = {**_NAMES, list: "a list", dict: "a table"}
    return f"{data!r}, {kinds[type(data)]}" if type(data) in kinds else repr(data)


def _is_table(hint: Any) -> bool:
    return is_dataclass(hint)


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)
