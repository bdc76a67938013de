"""What the members answered when they took a node in, where it had to be admitted. It holds for good."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from quorumkit.files import write_atomic

ADMISSION = Path("admission")


class Admission:
    """Of one node, in its directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ADMISSION
        self.came = asyncio.Event()
        """Set when it comes."""

    def read(self) -> str | None:
        """The answer, once there was one."""
        with contextlib.suppress(FileNotFoundError):
            return self._path.read_text(encoding="ascii").strip()
        return None

    def write(self, answer: str) -> None:
        """The members have taken the node in.

        Raises:
            OSError: it cannot be written down.
        """
        write_atomic(self._path, (answer + "\n").encode())
        self.came.set()
