"""Where a geth comes from: built from its Go module, or named by a person."""

from __future__ import annotations

import re
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.engines.binaries import check_binary
from quorumkit.engines.geth.build import build, find_built
from quorumkit.progress import Progress

_VERSION_LINE = re.compile(r"^Geth\nVersion: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)


class GethAcquirer:
    """Builds it once, into the user's cache."""

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        if override is not None:
            otherwise = "or leave it out and Quorumkit builds one"
            return check_binary(override, version, name="geth", version_line=_VERSION_LINE, otherwise=otherwise)
        return find_built(version)

    def source_image(self, version: str, named: str | None) -> str | None:
        return None

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        return self.find(version, override=override) or build(version, progress)


ACQUIRER: Acquirer = GethAcquirer()
