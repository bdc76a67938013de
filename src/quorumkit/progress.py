"""How long work tells what it is at. The core only reports; `cli.output` draws."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """One line that tells what is being done and how far it is."""

    def __call__(self, text: str, done: int | None = None, total: int | None = None) -> None: ...


def silent(text: str, done: int | None = None, total: int | None = None) -> None:
    """A Progress that shows nothing."""
