"""`guard passwd`: makes, changes and removes users of a credentials file."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click


@click.command()
@click.argument("user")
@click.option(
    "-f",
    "--file",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Change this credentials file; without it the line is printed.",
)
@click.option("--delete", is_flag=True, help="Remove USER from the file.")
def passwd(user: str, file: Path | None, delete: bool) -> None:
    """Set the password of USER for SMTP AUTH.

    The password is asked for, or read as the first line of standard input; never from the command
    line, where other users of the machine could see it.
    """
    from guard.relay.credentials import load_credentials
    from guard.relay.hashes import hash_password
    from guard.relay.passwd import entry, with_user, without_user
    from guard.roles import BadInput

    if not user or not user.isprintable():
        raise click.UsageError("USER must be printable text")
    text = ""
    if file is not None and file.exists():
        load_credentials(file)  # a file with a fault in it is left alone
        text = file.read_text("utf-8")
    if delete:
        if file is None:
            raise click.UsageError("--delete needs --file")
        rest = without_user(text, user)
        if rest is None:
            raise BadInput(f"{file}: there is no user {user!r}")
        _replace(file, rest)
        return
    hashed = hash_password(_password())
    if file is None:
        click.echo(entry(user, hashed))
    else:
        _replace(file, with_user(text, user, hashed))


def _password() -> str:
    from guard.roles import BadInput

    if sys.stdin.isatty():
        password = str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        try:
            password = sys.stdin.buffer.readline().decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadInput("the password is not UTF-8") from None
    if not password or "\0" in password:
        raise BadInput("the password must not be empty")
    return password


def _replace(file: Path, text: str) -> None:
    """Puts `text` in the place of `file` at once; mode and owner stay, a new file is 0600."""
    from guard.roles import Forbidden

    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
                if file.exists():
                    known = file.stat()
                    os.fchown(out.fileno(), known.st_uid, known.st_gid)
                    os.fchmod(out.fileno(), known.st_mode & 0o7777)
                out.flush()
                os.fsync(out.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink()
            raise
    except OSError as error:
        raise Forbidden(f"cannot change {file}: {error.strerror or error}") from None
