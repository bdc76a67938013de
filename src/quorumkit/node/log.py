"""Where clients' log lines go: a rotated file a node, or standard output."""

from __future__ import annotations

import sys
from datetime import datetime
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Protocol

FILE_BYTES = 20_000_000
FILES_KEPT = 5


class LogSink(Protocol):
    """Takes whole lines, without their line ends."""

    def line(self, text: str) -> None: ...

    def close(self) -> None: ...


class RotatedFile:
    """A file that is renamed to `.1` at 20 MB, and so on; five are kept."""

    def __init__(self, path: Path) -> None:
        self._handler = RotatingFileHandler(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="replace"
        )

    def line(self, text: str) -> None:
        self._handler.emit(LogRecord("client", 0, "", 0, text, None, None))

    def close(self) -> None:
        self._handler.close()


class StandardOutput:
    """For containers, whose engine keeps and rotates what they print."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    def line(self, text: str) -> None:
        sys.stdout.write(f"{self._prefix}{text}\n")
        sys.stdout.flush()

    def close(self) -> None:
        pass


def own_line(level: str, text: str) -> str:
    """A line of the node program's own, in the form of the clients' lines around it."""
    now = datetime.now().astimezone()
    return f"{level:<5}[{now:%m-%d|%H:%M:%S}.{now.microsecond // 1000:03d}] quorumkit: {text}"
