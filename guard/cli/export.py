"""`guard export`: what Guard knows, as files for programs that know nothing of Guard."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from guard.cli.options import config_option, json_option, print_json

if TYPE_CHECKING:
    from guard.config import Settings


@click.group(invoke_without_command=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "plain"]),
    default="json",
    help="json: claims and strikes, one object a line; plain: the networks blocked, one a line.",
)
@config_option
@click.pass_context
def export(context: click.Context, form: str, config: Path | None) -> None:
    """Print the whole ledger, for `guard import` or any other program; or write files."""
    if context.invoked_subcommand is None:
        from guard.cli import ledger_io

        context.invoke(ledger_io.export, form=form, config=config)


@export.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--logpath", help="The log that fail2ban is to read [default: that of each jail].")
@config_option
@json_option
def fail2ban(folder: Path, logpath: str | None, config: Path | None, as_json: bool) -> None:
    """Write the jails that run, and their filters, for a host that has only fail2ban.

    DIR gets jail.d/guard-jails.conf and filter.d; copy them into /etc/fail2ban there. The networks
    of [protect] allow become part of each jail's ignoreip, and the EHLO names on the listeners'
    lists of scanners part of the filter kumomta.
    """
    from guard.config import load
    from guard.jails.export import countable, filter_files, jail_file, scanner_file
    from guard.jails.files import jail_conf, load_jails
    from guard.lib.logs import printable
    from guard.roles import BadInput

    settings = load(config)
    jails, unlike = countable(load_jails(settings.jails.path, settings.jails.filters))
    for name in unlike:
        click.echo(f"left out: jail {name}: fail2ban knows no kinds, give a mode", err=True)
    conf = jail_conf(settings.jails.path)
    ignore = [network for entry in settings.protect.allow for network in entry.networks]
    text = jail_file(conf, jails, ignore, logpath)
    try:
        wanted = {
            Path("filter.d", name): path.read_text("utf-8")
            for name, path in filter_files(jails, settings.jails.filters).items()
        }
        wanted[Path("jail.d", "guard-jails.conf")] = text
        if Path("filter.d", "kumomta.conf") in wanted:
            scanners, left = scanner_file(_ehlo_names(settings))
            wanted[Path("filter.d", "kumomta.d", "guard-scanners.conf")] = scanners
            for expression in left:
                click.echo(f"left out: {printable(expression)}: not for fail2ban", err=True)
        for place, content in wanted.items():
            _write(folder / place, content)
    except (OSError, ValueError) as error:
        raise BadInput(str(error)) from None
    if as_json:
        print_json([str(folder / place) for place in wanted])
    else:
        for place in wanted:
            click.echo(folder / place)


def _ehlo_names(settings: Settings) -> list[str]:
    """The EHLO names on every list of scanners that a listener has."""
    import tomllib

    found: list[str] = []
    for path in dict.fromkeys(path for item in settings.listener for path in item.scanners):
        rows = tomllib.loads(path.read_text("utf-8")).get("scanner", [])
        for row in rows if isinstance(rows, list) else ():
            names = row.get("ehlo", []) if isinstance(row, dict) else ()
            found += [name for name in names if isinstance(name, str)]
    return found


def _plain(networks: list[str], _: str) -> str:
    return "".join(f"{network}\n" for network in networks)


def _postfix(networks: list[str], reply: str) -> str:
    full = (n if "/" in n else f"{n}/{128 if ':' in n else 32}" for n in networks)
    return "".join(f"{network} {reply}\n" for network in full)


def _opensmtpd(networks: list[str], _: str) -> str:
    """A table for `match from src`: smtpd does not start with an empty one (seen with 6.8)."""
    return _plain(["255.255.255.255", *networks], "")


def _rbldnsd(networks: list[str], reply: str) -> str:
    """The sets of a `combined` zone (rbldnsd(8)): the banned answer 127.0.0.2, and a text."""
    text = f":127.0.0.2:{reply.removeprefix('REJECT ')}\n"
    four = _plain([network for network in networks if ":" not in network], "")
    six = _plain([network for network in networks if ":" in network], "")
    return f"$DATASET ip4trie @\n{text}{four}$DATASET ip6trie @\n{text}{six}"


FORMATS: dict[str, Callable[[list[str], str], str]] = {
    "plain": _plain,
    "postfix": _postfix,
    "opensmtpd": _opensmtpd,
    "rbldnsd": _rbldnsd,
}


@export.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    default="plain",
    show_default=True,
    help="One network a line; an access table for Postfix (cidr:); the same list, never empty, "
    "for OpenSMTPD; a zone for rbldnsd (combined).",
)
@click.option("--every", metavar="TIME", help="Do not end: write again so often, as 10s.")
@click.option(
    "--reply",
    default="REJECT too many refused attempts",
    show_default=True,
    help="What Postfix is to do; the text in DNS.",
)
@config_option
def bans(file: Path, format_: str, every: str | None, reply: str, config: Path | None) -> None:
    """Write the live bans to FILE, whole and at once; - is standard output.

    With --every an unchanged list is not written again, and a daemon that is away leaves the last
    list in place.
    """
    pause = _pause(every)
    written: str | None = None
    while True:
        text = _listed(config, FORMATS[format_], reply, keep=written is not None and bool(pause))
        if text is not None and text != written:
            _put(file, text)
            written = text
        if not pause:
            return
        from time import sleep

        sleep(pause)


def _pause(every: str | None) -> float:
    from guard.lib.durations import parse_duration

    try:
        pause = parse_duration(every) if every is not None else 0.0
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if every is not None and pause < 1:
        raise click.UsageError("--every needs a second at least")
    return pause


def _listed(
    config: Path | None, form: Callable[[list[str], str], str], reply: str, *, keep: bool
) -> str | None:
    """The file's text; None to keep what is there, where nobody answers and `keep` says so."""
    from guard.cli.asking import ask
    from guard.roles import Unavailable

    try:
        rows: list[dict[str, Any]] = ask(config, "bans")
    except Unavailable:
        if not keep:
            raise
        return None
    return form(sorted({row["network"] for row in rows}), reply)


def _put(file: Path, text: str) -> None:
    if file == Path("-"):
        click.echo(text, nl=False)
    else:
        _write(file, text)


def _write(path: Path, text: str) -> None:
    """Makes `path` hold `text` at once: a reader sees the old or the new. Raises BadInput."""
    from guard.roles import BadInput

    new = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None
