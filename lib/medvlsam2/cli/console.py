"""Output for people and programs: results go to stdout, everything else to stderr.

``rich`` is imported where something is printed with it: help does without.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from medvlsam2 import NOTICE

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH: Final = 1000


def stdout() -> Console:
    """The console for results; in a file or pipe lines are not broken."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def stderr() -> Console:
    """The console for progress, warnings and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def show_json(record: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(record, indent=2, ensure_ascii=False))


def show_text(text: str) -> None:
    """Print a text of a result without markup or colours."""
    print(text)


def show_notice(*facts: str) -> None:
    """Print the last line of a result, e.g. model and seconds, and that the software is for research only."""
    stdout().print(" · ".join((*facts, NOTICE)), style="dim", markup=False)


def show_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a small table; square brackets in its texts are no markup."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    stdout().print(table, soft_wrap=False)


def warn(sentences: Iterable[str]) -> None:
    """Print warnings."""
    for sentence in sentences:
        stderr().print(f"warning: {sentence}", style="yellow", markup=False)


def fail(sentence: str) -> None:
    """Print why the request failed."""
    stderr().print(f"error: {sentence}", style="red", markup=False)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show that work of unknown length goes on, in a terminal only."""
    console = stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


@contextmanager
def bar(what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar, in a terminal only; gives a function that takes the share of work done, 0..1."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)
