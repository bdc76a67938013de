"""Processes found by what they hold open, where what they noted on the disk is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import psutil

_DELETED = " (deleted)"
"""What Linux adds to the name of an open file that was removed or replaced (proc(5), /proc/pid/fd)."""


def process_writing(log: Path, words: Sequence[str]) -> psutil.Process | None:
    """The process whose standard output is a file of that path, or was until that was replaced, and whose command line
    has these words in a row. None where the system cannot tell (it has no /proc)."""
    path = str(log.resolve())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if str(Path(f"/proc/{process.pid}/fd/1").readlink()).removesuffix(_DELETED) != path:
                continue
            line = process.cmdline()
            rows = (line[first : first + len(words)] for first in range(len(line)))
            if [*words] in rows and process.status() != psutil.STATUS_ZOMBIE:
                return process
    return None
