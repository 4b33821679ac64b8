"""`guard`: finds the command that was typed, and turns every error into a line and a code.

Exit codes: 0 done, 1 the answer is no, and of sysexits.h 64 usage, 65 bad input data, 69 a needed
service is unavailable, 77 no permission, 78 configuration. A command's module is imported only
when it is called, so that `guard bans` does not wait for a mail server to load.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from guard import __version__
from guard.lib.logs import printable
from guard.roles import BadInput, ConfigError, Forbidden, GuardError, Unavailable

COMMANDS = {
    "up": "guard.cli.serve:up",
    "listener": "guard.cli.serve:listener",
    "daemon": "guard.cli.serve:daemon",
    "check": "guard.cli.check:check",
    "replay": "guard.cli.replay:replay",
    "bans": "guard.cli.bans:bans",
    "ban": "guard.cli.bans:ban",
    "unban": "guard.cli.bans:unban",
    "export": "guard.cli.export:export",
    "import": "guard.cli.ledger_io:import_",
    "policy": "guard.cli.policy:policy",
    "expire": "guard.cli.expire:expire",
    "allow": "guard.cli.allow:allow",
    "disallow": "guard.cli.allow:disallow",
    "pause": "guard.cli.pause:pause",
    "resume": "guard.cli.pause:resume",
    "explain": "guard.cli.bans:explain",
    "status": "guard.cli.status:status",
    "top": "guard.cli.top:top",
    "filter": "guard.cli.filter:filter_",
    "demo": "guard.cli.demo:demo",
    "protect": "guard.cli.protect:protect",
    "report": "guard.cli.report:report",
    "feeds": "guard.cli.feeds:feeds",
    "notify": "guard.cli.notify:notify",
    "relay-check": "guard.cli.relay_check:relay_check",
    "passwd": "guard.cli.passwd:passwd",
    "sources": "guard.cli.sources:sources",
    "spool": "guard.cli.spool:spool",
}

# The first that an error is an instance of gives the exit code.
EXIT_CODES: tuple[tuple[type[GuardError], int], ...] = (
    (ConfigError, 78),
    (BadInput, 65),
    (Forbidden, 77),
    (GuardError, 69),
)


_SERVICES = ("up", "daemon", "listener")  # they meet more pipes than standard output
_UNWRITTEN = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO)


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; what its output meets is no fault of ours."""
        try:
            return super().invoke(ctx)
        except OSError as error:
            if error.errno not in _UNWRITTEN or ctx.invoked_subcommand in _SERVICES:
                raise
            # What is buffered would be written once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            if isinstance(error, BrokenPipeError):  # the reader went away
                raise click.exceptions.Exit(0) from None
            raise Unavailable(f"cannot write: {error.strerror}") from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(f"there is no command {args[0]!r}; `guard --help` lists them")
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="guard")
def cli() -> None:
    """Count what a mail server refuses, per address; drop offenders in the kernel."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        code = cli.main(args=arguments, prog_name="guard", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 64
    except click.ClickException as error:
        error.show()
        return 65
    except click.Abort:
        return 130
    except GuardError as error:
        for line in str(error).splitlines():
            click.echo(f"guard: {printable(line)}", err=True)
        return next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    return code if isinstance(code, int) else 0


def main() -> None:
    """The console script."""
    sys.exit(run())
