"""What waits in the spool: messages, how far their delivery is, and what the operator asks for.

Beside `new/` (spool.py), in the same folder:

    state/ID       how far delivery is, in JSON; replaced by rename, never written in place
    damaged/ID     what could not be read, set aside for a human
    asked/VERB.ID  what an operator wants (retry, hold, release, drop) while a runner holds the lock
    lock           flock of the one process that delivers

Whoever holds the lock may change state and remove messages; everybody may read and ask.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import msgspec

from guard.mail.spool import Envelope, make_folder, sync_folder, unavailable, write_all
from guard.roles import Forbidden, GuardError, Refused, Unavailable

Verb = Literal["retry", "hold", "release", "drop"]
VERBS: tuple[Verb, ...] = get_args(Verb)

_LONGEST_ENVELOPE = 16 * 1024 * 1024
_ID_LENGTH = 32
_decode_envelope = msgspec.json.Decoder(Envelope)


class Gone(GuardError):
    """There is no such message any more."""


class Damaged(GuardError):
    """The message's file is not what a spool writes. It was set aside."""


class State(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far delivery is. `left` are the recipients still to be served, None is all of them.

    `due` is when it is tried next, seconds since the epoch. `last` is why it is still here.
    """

    attempts: int = 0
    due: float = 0.0
    held: bool = False
    left: list[str] | None = None
    last: str = ""


# A bad sector, or a folder where a file should be: this one is broken, not the spool.
_BROKEN = frozenset((errno.EIO, errno.EISDIR, errno.EUCLEAN))
_decode_state = msgspec.json.Decoder(State)


@dataclass(frozen=True, slots=True)
class Message:
    """One that waits. `offset` is where its bytes begin in the file, `size` how many they are."""

    envelope: Envelope
    state: State
    offset: int
    size: int

    @property
    def left(self) -> list[str]:
        """The recipients still to be served."""
        return self.envelope.recipients if self.state.left is None else self.state.left


def _envelope(line: bytes, id_: str) -> Envelope:
    envelope = _decode_envelope.decode(line)
    if not line.endswith(b"\n") or envelope.id != id_ or not envelope.recipients:
        raise ValueError("not the envelope of this message")
    return envelope


class Waiting:
    """The waiting messages of the spool in `folder`. Every method may block."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.new, self._state = folder / "new", folder / "state"
        self._damaged, self._asked = folder / "damaged", folder / "asked"

    def open(self) -> None:
        """Makes the folders, which may be there. Raises Refused or Forbidden."""
        try:
            for part in (self.folder, self.new, self._state, self._damaged, self._asked):
                make_folder(part, 0o700)
                if not os.access(part, os.R_OK | os.W_OK | os.X_OK):
                    raise Forbidden(f"spool {self.folder}: no permission to change it")
        except PermissionError as error:
            raise Forbidden(f"spool {self.folder}: {error.strerror}") from error
        except OSError as error:
            raise Refused(f"spool {self.folder}: {error.strerror or error}") from error

    @contextmanager
    def lock(self) -> Iterator[bool]:
        """Holds the lock, or yields False when another process has it."""
        with unavailable("taking the lock"):
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def ids(self) -> list[str]:
        """Every message, the oldest first. Raises Forbidden or Unavailable."""
        try:
            with os.scandir(self.new) as entries:
                return sorted(entry.name for entry in entries if len(entry.name) == _ID_LENGTH)
        except FileNotFoundError:
            return []
        except PermissionError as error:
            raise Forbidden(f"spool {self.folder}: {error.strerror}") from error
        except OSError as error:
            raise Unavailable(f"spool: listing: {error.strerror or error}") from error

    def changed(self) -> int:
        """A number that is another one after a message came or went."""
        with unavailable("looking"):
            return self.new.stat().st_mtime_ns

    def load(self, id_: str) -> Message:
        """One message. Raises Gone, Damaged or Unavailable."""
        try:
            with (self.new / id_).open("rb") as file:
                line = file.readline(_LONGEST_ENVELOPE)
                size = os.fstat(file.fileno()).st_size - len(line)
            envelope = _envelope(line, id_)
        except FileNotFoundError:
            raise Gone(f"there is no message {id_}") from None
        except (ValueError, msgspec.MsgspecError) as error:
            raise self._set_aside(id_, str(error)) from error
        except OSError as error:
            if error.errno in _BROKEN:
                raise self._set_aside(id_, error.strerror or str(error)) from error
            raise Unavailable(f"spool: reading a message: {error.strerror or error}") from error
        return Message(envelope, self._load_state(id_), len(line), size)

    def body(self, message: Message) -> BinaryIO:
        """The bytes of `message`, from the first on. Raises Gone or Unavailable."""
        try:
            with unavailable("reading a message"):
                file = (self.new / message.envelope.id).open("rb")
                file.seek(message.offset)
                return file
        except GuardError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise Gone(f"there is no message {message.envelope.id}") from None
            raise

    def save(self, id_: str, state: State) -> None:
        """Makes `state` that of a message, durably. Raises Unavailable."""
        new = self._state / f".{id_}"
        with unavailable("writing a state"):
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                write_all(descriptor, msgspec.json.encode(state))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new.rename(self._state / id_)
            sync_folder(self._state)

    def remove(self, id_: str) -> None:
        """Forgets a message for good, durably. Raises Unavailable."""
        with unavailable("removing a message"):
            (self.new / id_).unlink(missing_ok=True)
            sync_folder(self.new)
            (self._state / id_).unlink(missing_ok=True)

    def tidy(self, ids: set[str]) -> None:
        """Removes the states of messages that are not among `ids`. Needs the lock."""
        with unavailable("tidying"), os.scandir(self._state) as entries:
            stale = [entry.path for entry in entries if entry.name not in ids]
        for path in stale:
            with suppress(OSError):
                Path(path).unlink()

    def ask(self, verb: Verb, id_: str) -> None:
        """Leaves word for whoever holds the lock. Raises Unavailable."""
        with unavailable("asking"):
            (self._asked / f"{verb}.{id_}").touch(mode=0o600)

    def asked(self) -> list[tuple[Verb, str]]:
        """What was asked for since the last call, each once. Raises Unavailable."""
        with unavailable("looking for wishes"), os.scandir(self._asked) as entries:
            names = sorted(entry.name for entry in entries)
        found: list[tuple[Verb, str]] = []
        for name in names:
            with suppress(OSError):
                (self._asked / name).unlink()
            word, _, id_ = name.partition(".")
            if len(id_) == _ID_LENGTH:
                found += [(verb, id_) for verb in VERBS if verb == word]
        return found

    def apply(self, verb: Verb, id_: str) -> None:
        """Does what was asked. Needs the lock. Raises Gone, Damaged or Unavailable."""
        if verb == "drop":
            self.remove(self.load(id_).envelope.id)
            return
        state = self.load(id_).state
        change: dict[str, object] = {"held": verb == "hold"}
        if verb != "hold":
            change["due"] = 0.0
        self.save(id_, msgspec.structs.replace(state, **change))

    def _load_state(self, id_: str) -> State:
        try:
            return _decode_state.decode((self._state / id_).read_bytes())
        except (OSError, msgspec.MsgspecError):
            # Better delivered twice to somebody than to nobody.
            return State()

    def _set_aside(self, id_: str, why: str) -> Damaged:
        with unavailable("setting a message aside"):
            (self.new / id_).rename(self._damaged / id_)
        return Damaged(f"message {id_} is damaged ({why}); it is now {self._damaged / id_}")
