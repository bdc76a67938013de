"""It is here already: Python."""

from __future__ import annotations

import sys
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.finding import Finding
from quorumkit.progress import Progress


class FakeAcquirer:
    build_room: int | None = None

    def findings(self) -> list[Finding]:
        return []

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        return Binary(override or Path(sys.executable), version, "")

    def source_image(self, version: str, named: str | None) -> str | None:
        return None

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        return Binary(override or Path(sys.executable), version, "")


ACQUIRER: Acquirer = FakeAcquirer()
