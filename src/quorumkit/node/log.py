"""Where clients' log lines go: a rotated file a node, or standard output."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import datetime
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Protocol

from quorumkit.files import private_directory

FILE_BYTES = 20_000_000
FILES_KEPT = 5


class LogSink(Protocol):
    """Takes whole lines, without their line ends."""

    def line(self, text: str) -> None: ...

    def close(self) -> None: ...


class Unfailing:
    """A sink over another that loses lines where that one fails (a full disk, say) and never fails itself. How many
    were lost is written once lines can be written again; meanwhile `troubled` is called with what is wrong."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink
        self._lost = 0
        self.troubled: Callable[[str | None], None] = lambda _: None

    def line(self, text: str) -> None:
        try:
            if self._lost:
                self._sink.line(own_line("WARN", f"{self._lost} lines could not be written here"))
            self._sink.line(text)
        except Exception as error:
            self._lost += 1
            if self._lost == 1:
                self.troubled(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")
        else:
            if self._lost:
                self._lost = 0
                self.troubled(None)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._sink.close()


class _Handler(RotatingFileHandler):
    def handleError(self, record: LogRecord) -> None:
        """What could not be written is not tried again with the next line."""
        with contextlib.suppress(Exception):
            if self.stream is not None:
                self.stream.close()
        self.stream = None
        error = sys.exc_info()[1]
        if error is not None:
            raise error


class RotatedFile:
    """A file that is renamed to `.1` at 20 MB, and so on; five are kept."""

    def __init__(self, path: Path) -> None:
        self._handler = _Handler(
            path, maxBytes=FILE_BYTES, backupCount=FILES_KEPT, encoding="utf-8", errors="backslashreplace", delay=True
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


class Sinks:
    """Of all nodes: a rotated file each in that directory, or standard output for all."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._sinks: list[Unfailing] = []

    def sink(self, node: str, *, alone: bool) -> Unfailing:
        """A node's. On standard output its lines begin with its name, where it is not alone."""
        if self._directory is None:
            sink = Unfailing(StandardOutput("" if alone else f"{node} | "))
        else:
            with contextlib.suppress(OSError):  # reported with the first line
                private_directory(self._directory)
            sink = Unfailing(RotatedFile(self._directory / f"{node}.log"))
        self._sinks.append(sink)
        return sink

    def close(self) -> None:
        for sink in self._sinks:
            sink.close()


def own_line(level: str, text: str) -> str:
    """A line of the node program's own, in the form of the clients' lines around it."""
    now = datetime.now().astimezone()
    return f"{level:<5}[{now:%m-%d|%H:%M:%S}.{now.microsecond // 1000:03d}] quorumkit: {text}"
