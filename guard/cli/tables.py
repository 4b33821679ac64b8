"""Tables on standard output: as wide as the terminal, and whole where there is none.

Through a pipe nobody wants lines cut or folded, and a hundred thousand bans are wanted in a second:
there, and where a terminal would scroll for pages, columns are merely made equally wide. Text in a
cell is never read as markup, and what could steer a terminal is escaped; what a peer wrote goes
through `printable` before it comes here.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from guard.lib.logs import legible

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH_OF_A_PIPE = 1000
PAGES = 1000  # rows


def show_table(
    titles: Sequence[str], rows: Iterable[Sequence[str]], *, folding: Collection[str] = ()
) -> None:
    """Prints a table. Cells of the columns `folding` go on in the next line when they are long."""
    cells = [list(map(legible, row)) for row in rows]
    if len(cells) > PAGES or not sys.stdout.isatty():
        click.echo("\n".join(_lines([titles, *cells])))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold", no_wrap=bool(folding) and title not in folding)
    for row in cells:
        table.add_row(*row)
    show(table)


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """`rows` with columns equally wide, two blanks between them and none at the end."""
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = [cell + " " * (w - _width(cell)) for cell, w in zip(row, widths, strict=True)]
        yield "  ".join(padded).rstrip()


def _width(text: str) -> int:
    """How many places of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def show(what: RenderableType) -> None:
    """Prints `what`, without blanks at the ends of lines."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE, markup=False)
    with console.capture() as shown:
        console.print(what, markup=False)
    click.echo("\n".join(line.rstrip() for line in shown.get().splitlines()))
