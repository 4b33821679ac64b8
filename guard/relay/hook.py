"""policy.py: the operator's own functions, written in Python instead of KumoMTA's Lua.

    def get_listener_domain(domain, listener, conn_meta):
        if conn_meta.get_meta("authz_id"):
            return make_listener_domain(relay_to=True)

The file is imported when the configuration is read, with `make_listener_domain` there already
(`from guard.relay.hook import make_listener_domain` does the same, and pleases editors). Both
functions may be plain or async. The file is trusted as the configuration is; that it answers,
answers in time, and answers something sensible is not.

Source: docs.kumomta.com, get_listener_domain and make_listener_domain.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from guard.lib.faults import Fault
from guard.relay.calls import CallFailed, Calls
from guard.relay.login import Login
from guard.relay.options import ListenerDomain, listener_domain
from guard.relay.verdict import Asked
from guard.roles import ConfigError

_FUNCTIONS = {
    "get_listener_domain": ("domain", "listener", "conn_meta"),
    "check_password": ("user", "password", "conn_meta"),
}


def make_listener_domain(
    options: Mapping[str, object] | None = None, /, **more: object
) -> ListenerDomain:
    """KumoMTA's function of the same name; options as a table, as keywords, or both.

    Raises ValueError for an unknown option or a value that is none.
    """
    return listener_domain({**(options or {}), **more})


@dataclass(frozen=True, slots=True)
class ConnMeta:
    """What is known of the session. A copy: nothing that a hook does to it changes anything."""

    meta: Mapping[str, str]

    def get_meta(self, name: str) -> str | None:
        """KumoMTA's names: `authz_id`, `authn_id`, `received_from`, `received_via`, `ehlo_domain`.

        None for what is not.
        """
        return self.meta.get(name)


def conn_meta(session: Asked | Login) -> ConnMeta:
    """What a hook may know. KumoMTA's names; addresses are `ip:port`, IPv6 in brackets."""
    peer = session.peer
    host = f"[{peer}]" if peer.version == 6 else str(peer)
    meta = {"received_from": f"{host}:{session.port}", "received_via": session.listener}
    if session.ehlo:
        meta["ehlo_domain"] = session.ehlo
    if isinstance(session, Asked) and session.authz_id is not None:
        # Nobody acts as somebody else, so that both are one.
        meta["authz_id"] = meta["authn_id"] = session.authz_id
    return ConnMeta(meta)


class Hook:
    """The functions of one policy.py. Which of them it has, `has` tells."""

    def __init__(self, file: str, functions: Mapping[str, Callable[..., Any]], calls: Calls):
        self.file = file
        self._functions = dict(functions)
        self._calls = calls

    def has(self, name: str) -> bool:
        """Whether the file has the function `name`."""
        return name in self._functions

    async def get_listener_domain(
        self, domain: str, listener: str, meta: ConnMeta
    ) -> ListenerDomain | None:
        """What the operator says of `domain`. Raises CallFailed, also for an answer of no use."""
        answer = await self._call("get_listener_domain", domain, listener, meta)
        if answer is None or isinstance(answer, ListenerDomain):
            return answer
        raise CallFailed(
            f"returned {type(answer).__name__}, which is neither a listener domain nor None"
        )

    async def check_password(self, login: Login) -> bool:
        """Whether the password is the user's. Raises CallFailed, which never shows it."""
        args = login.user, login.password, conn_meta(login)
        try:
            answer = await self._call("check_password", *args)
        except CallFailed as error:
            why = error.bare
        else:
            if isinstance(answer, bool):
                return answer
            why = f"returned {type(answer).__name__}, which is neither True nor False"
        raise CallFailed(why)  # here, where no exception with the password hangs on to it

    async def _call(self, name: str, *args: object) -> object:
        return await self._calls.call(self._functions[name], *args)


def load_hook(path: Path, calls: Calls) -> Hook:
    """Imports `path`. Raises ConfigError: no such file, an error in it, none of our functions."""
    module = _run(path)
    found, faults = {}, []
    for name, arguments in _FUNCTIONS.items():
        function = getattr(module, name, None)
        if function is None:
            continue
        if not callable(function) or not _takes(function, len(arguments)):
            faults.append(Fault(str(path), name, f"must be a function of ({', '.join(arguments)})"))
        found[name] = function
    if not found:
        faults.append(Fault(str(path), "", f"has no function {' or '.join(_FUNCTIONS)}"))
    if faults:
        raise ConfigError(faults)
    return Hook(str(path), found, calls)


class _Loader(importlib.abc.SourceLoader):
    """Reads one file. Byte code is neither kept beside it nor taken from there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get_filename(self, fullname: str) -> str:
        return str(self._path)

    def get_data(self, path: str) -> bytes:
        return self._path.read_bytes()

    def get_code(self, fullname: str) -> CodeType:
        path = str(self._path)
        return self.source_to_code(self.get_data(path), path)


def _run(path: Path) -> ModuleType:
    loader, name = _Loader(path), f"guard policy {path}"
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    vars(module)["make_listener_domain"] = make_listener_domain
    sys.modules[name] = module  # dataclasses look themselves up there
    try:
        loader.exec_module(module)
    except OSError as error:
        raise _fault(path, "", error.strerror or str(error)) from None
    except SyntaxError as error:
        raise _fault(path, f"line {error.lineno}", f"not Python: {error.msg}") from None
    except (Exception, SystemExit) as error:
        raise _fault(path, _line(error, path), f"{type(error).__name__}: {error}") from None
    return module


def _fault(path: Path, key: str, message: str) -> ConfigError:
    return ConfigError([Fault(str(path), key, message)])


def _line(error: BaseException, path: Path) -> str:
    """The innermost line of the file itself that was being run."""
    trace, line = error.__traceback__, ""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = f"line {trace.tb_lineno}"
        trace = trace.tb_next
    return line


def _takes(function: Callable[..., Any], count: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * count)
    except (TypeError, ValueError):
        return False
    return True
