"""Gives up what a process may do to the machine, for good.

Linux keeps capabilities per thread: call this before there is a second one. What is dropped cannot
be had again, not by running a program either. Layout: linux/capability.h, linux/prctl.h.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Collection
from pathlib import Path

from guard.roles import Refused

CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID = 0, 1, 2, 3, 5, 6, 7
NET_BIND_SERVICE, NET_ADMIN, NET_RAW = 10, 12, 13
# What touches the firewall, and what reads strangers' bytes and serves port 25.
FIREWALL = frozenset({NET_ADMIN, NET_RAW})
SERVICE = frozenset(
    {CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, KILL, SETGID, SETUID, NET_BIND_SERVICE}
)
_VERSION = 0x20080522
_PARENTS_DEATH, _DROP_BOUNDING, _NO_NEW_PRIVILEGES, _AMBIENT = 1, 24, 38, 47
_AMBIENT_RAISE, _AMBIENT_CLEAR = 2, 4
_LAST = Path("/proc/sys/kernel/cap_last_cap")


def held() -> frozenset[int]:
    """The capabilities that this thread may use."""
    _, permitted, _ = _get()
    return frozenset(number for number in range(64) if permitted >> number & 1)


def keep_only(wanted: Collection[int]) -> None:
    """Drops every other capability, for this thread and whatever it runs."""
    kept = held() & frozenset(wanted)
    _prctl(_NO_NEW_PRIVILEGES, 1)
    _prctl(_AMBIENT, _AMBIENT_CLEAR)
    if held() & {8}:  # CAP_SETPCAP, which the bounding set asks for
        for number in range(int(_LAST.read_text()) + 1):
            if number not in kept:
                _prctl(_DROP_BOUNDING, number)
    mask = _mask(kept)
    # As root a program gets the bounding set; anybody else's gets what is ambient.
    inherited = 0 if os.geteuid() == 0 else mask
    _set(mask, mask, inherited)
    if inherited:
        _raise_ambient(kept)


def pass_on(wanted: Collection[int]) -> None:
    """Lets a program that this process runs have the `wanted` capabilities that it has itself."""
    if os.geteuid() != 0:
        effective, permitted, inheritable = _get()
        kept = held() & frozenset(wanted)
        _set(effective, permitted, inheritable | _mask(kept))
        _raise_ambient(kept)


def told_of_parents_death(number: signal.Signals) -> None:
    """Has the kernel send the signal `number` to this process when its parent dies from now on."""
    _prctl(_PARENTS_DEATH, number)


def _raise_ambient(numbers: Collection[int]) -> None:
    for number in numbers:
        _prctl(_AMBIENT, _AMBIENT_RAISE, number)


def _mask(numbers: Collection[int]) -> int:
    return sum(1 << number for number in numbers)


def _get() -> tuple[int, int, int]:
    header = struct.pack("=Ii", _VERSION, 0)
    data = ctypes.create_string_buffer(24)
    _check(ctypes.CDLL(None, use_errno=True).capget(header, data), "capget")
    words = struct.unpack("=6I", data.raw)
    effective, permitted, inheritable = (words[at] | words[at + 3] << 32 for at in range(3))
    return effective, permitted, inheritable


def _set(effective: int, permitted: int, inheritable: int) -> None:
    masks = (effective, permitted, inheritable)
    low = [mask & 0xFFFFFFFF for mask in masks]
    high = [mask >> 32 for mask in masks]
    header = struct.pack("=Ii", _VERSION, 0)
    data = struct.pack("=6I", *low, *high)
    _check(ctypes.CDLL(None, use_errno=True).capset(header, data), "capset")


def _prctl(option: int, *arguments: int) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    longs = [ctypes.c_ulong(each) for each in padded]
    _check(ctypes.CDLL(None, use_errno=True).prctl(option, *longs), "prctl")


def _check(result: int, call: str) -> None:
    if result:
        reason = os.strerror(ctypes.get_errno())
        raise Refused(f"cannot give up privileges: {call}: {reason}")
