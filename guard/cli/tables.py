"""Tables on standard output: as wide as the terminal, and whole where there is none.

Text in a cell is never read as markup, and what could steer a terminal is escaped; what a peer
wrote goes through `printable` before it comes here.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

import click

from guard.lib.logs import legible

if TYPE_CHECKING:
    from rich.console import RenderableType

# Through a pipe nobody wants lines cut or folded to the width of a terminal that is not there.
WIDTH_OF_A_PIPE = 1000


def show_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, folding: Collection[str] = ()
) -> None:
    """Prints a table. Cells of the columns `folding` go on in the next line when they are long."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=bool(folding) and title not in folding)
    for row in rows:
        table.add_row(*map(legible, row))
    show(table)


def show(what: RenderableType) -> None:
    """Prints `what`, without blanks at the ends of lines."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, markup=False)
    with console.capture() as shown:
        console.print(what, markup=False)
    click.echo("\n".join(line.rstrip() for line in shown.get().splitlines()))
