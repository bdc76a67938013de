"""What commands print: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from quorumkit.errors import QuorumkitError

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PLAIN_EVERY = 2.0  # seconds between two plain lines of the same stage


def print_json(value: Any) -> None:
    """A result for machines."""
    click.echo(json.dumps(value, indent=2))


def say(text: str) -> None:
    """A line for people, on standard output."""
    click.echo(text)


def done(text: str) -> None:
    """The one line that says what happened."""
    click.echo(click.style("✓ ", fg="green") + text if _colourful() else text)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Rows of cells under their headings, aligned; never cut, so that they can be copied whole."""
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for number, row in enumerate([columns, *rows]):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(click.style(line, bold=True) if number == 0 and _colourful() else line)


def print_error(error: QuorumkitError, *, as_json: bool) -> None:
    """One line what is wrong, one what to do about it."""
    if as_json:
        print_json({"error": {"kind": error.kind, "message": error.message, "hint": error.hint}})
        return
    click.echo(click.style("error: ", fg="red", bold=True) + error.message, err=True)
    if error.hint:
        click.echo(f"  try: {error.hint}", err=True)


def _colourful() -> bool:
    return sys.stdout.isatty()


class ProgressLine:
    """A live bar on a terminal; in a pipe a plain line for each stage, and within one a line for what changed, at most
    every two seconds. What stands before a colon names the stage. Nothing at all with `quiet`.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = sys.stderr.isatty()
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._line = ""
        self._last = 0.0

    def __call__(self, text: str, done: int | None = None, total: int | None = None) -> None:
        if self._quiet:
            return
        if self._live:
            self._draw(text, done, total)
        else:
            self._print(text, done, total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _draw(self, text: str, done: int | None, total: int | None) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()]
            self._bar = Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(text, total=total)
            self._bar.start()
        assert self._task is not None
        self._bar.update(self._task, description=text, completed=done or 0, total=total)

    def _print(self, text: str, done: int | None, total: int | None) -> None:
        stage, _, which = text.partition(": ")
        line = (f"{stage} ({done}/{total})" if total else stage) + (f": {which}" if which else "")
        now = time.monotonic()
        same_stage = self._line.startswith(stage)
        if line == self._line or (same_stage and now - self._last < _PLAIN_EVERY):
            return
        self._line, self._last = line, now
        click.echo(line, err=True)
