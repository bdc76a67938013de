"""What commands print: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

import click

from quorumkit.errors import QuorumkitError
from quorumkit.urls import hide_secrets

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

_PLAIN_EVERY = 2.0  # seconds between two plain lines of the same stage


def print_json(value: Any, *, one_line: bool = False, as_it_is: bool = False) -> None:
    """A result for machines, with no secret in its URLs; `as_it_is` what another program answered."""
    text = json.dumps(value, indent=None if one_line else 2)
    click.echo(text if as_it_is else hide_secrets(text))


def say(text: str) -> None:
    """A line for people, on standard output."""
    click.echo(hide_secrets(text))


def done(text: str) -> None:
    """The one line that says what happened."""
    say(click.style("✓ ", fg="green") + text if _colourful(sys.stdout) else text)


def print_table(columns: list[str], rows: list[list[str]]) -> None:
    """Rows of cells under their headings, aligned; never cut, so that they can be copied whole. On a terminal that is
    too narrow for them, a URL stands on a line of its own under its row; where that is too wide still, every cell."""
    room = shutil.get_terminal_size().columns if is_terminal(sys.stdout) else None
    shown = table_lines(columns, [[hide_secrets(cell) for cell in row] for row in rows], room)
    for number, line in enumerate(shown):
        click.echo(click.style(line, bold=True) if number == 0 and _colourful(sys.stdout) else line)


def table_lines(columns: list[str], rows: list[list[str]], room: int | None) -> list[str]:
    """The lines of a table in so many columns of characters; None is any number."""
    lines = _aligned([columns, *rows])
    if room is None or all(len(line) <= room for line in lines):
        return lines
    apart = [i for i in range(len(columns)) if any("://" in row[i] for row in rows)]
    beside = [i for i in range(len(columns)) if i not in apart]
    lines = _aligned([[row[i] for i in beside] for row in [columns, *rows]])
    if any(len(line) > room for line in lines):
        width = max(map(len, columns))
        return [
            line
            for row in rows
            for line in (row[0], *(f"  {columns[i].ljust(width)}  {row[i]}" for i in range(1, len(columns))))
        ]
    return [
        lines[0],
        *(line for text, row in zip(lines[1:], rows, strict=True) for line in (text, *(f"  {row[i]}" for i in apart))),
    ]


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def warn(text: str) -> None:
    """A line about something that is wrong and that the command goes on without; on standard error."""
    label = click.style("warning: ", fg="yellow", bold=True) if _colourful(sys.stderr) else "warning: "
    click.echo(label + hide_secrets(text), err=True)


def print_error(error: QuorumkitError, *, as_json: bool) -> None:
    """One line what is wrong, one what to do about it."""
    if as_json:
        print_json({"error": {"kind": error.kind, "message": error.message, "hint": error.hint}})
        return
    label = click.style("error: ", fg="red", bold=True) if _colourful(sys.stderr) else "error: "
    click.echo(label + error.message, err=True)
    if error.hint:
        click.echo(f"  try: {error.hint}", err=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads it; a stream that was closed before the start is None."""
    return stream is not None and stream.isatty()


def _colourful(stream: TextIO | None) -> bool:
    """Not where somebody wants none (https://no-color.org), nor where the terminal has none."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class ProgressLine:
    """A live bar on a terminal. In a pipe, a plain line for each stage, and within a stage one for what changed, every
    two seconds at most. The text before a colon names the stage. With `quiet`, nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live = is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb"
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._line = ""
        self._last = 0.0

    def __call__(self, text: str, done: int | None = None, total: int | None = None) -> None:
        if self._quiet:
            return
        text = hide_secrets(text)
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
