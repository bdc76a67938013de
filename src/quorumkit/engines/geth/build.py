"""Builds geth from its Go module, once, into the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from quorumkit.cache import cache_directory
from quorumkit.engines.base import Binary
from quorumkit.engines.geth.go_toolchain import GoToolchain, go_from_wheel, go_on_path
from quorumkit.errors import EngineError
from quorumkit.files import sha256_of, to_json, write_atomic
from quorumkit.progress import Progress

PACKAGE = "github.com/ethereum/go-ethereum/cmd/geth"
PACKAGES = 666
"""How many packages one build compiles, the standard library's among them: for the progress line."""

_PINNED = "1.13.15"
_LDFLAGS = "-s -w -checklinkname=0"  # a dependency links to the runtime's internals, refused from Go 1.23 on
ROOM = 1_500_000_000
"""Bytes of disk that a build from empty caches took."""


def find_built(version: str) -> Binary | None:
    """The binary in the cache, if it is there and as it was when it was built."""
    path = _binary_path(version)
    try:
        recorded = json.loads(path.with_suffix(".json").read_bytes())
        now = path.stat()
        # Size and time, not the digest: every command comes by here.
        if [now.st_size, now.st_mtime_ns] != [recorded["size"], recorded["mtime_ns"]]:
            return None
        return Binary(path, str(recorded["version"]), str(recorded["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build(version: str, progress: Progress) -> Binary:
    """Builds a static binary (no C compiler needed). What it is built from is pinned by module/go.sum.

    Raises:
        EngineError: another version than the pinned one, no compiler, no room, or the build failed.
    """
    from filelock import FileLock

    if version != _PINNED:
        raise EngineError(
            f"engine.version: only geth {_PINNED} can be built here, not {version}",
            hint="name a ready binary with --engine-binary or engine.binary",
        )
    path = _binary_path(version)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if built := find_built(version):  # by another process, while this one waited
            return built
        room = shutil.disk_usage(path.parent).free
        if room < ROOM:
            raise EngineError(
                f"building geth takes {ROOM / 1e9:.1f} GB of disk, and {path.parent} has {room / 1e9:.1f} GB free",
                hint="free some room, point QUORUMKIT_CACHE to another disk, or name a binary with --engine-binary",
            )
        toolchain = go_on_path() or go_from_wheel(progress)
        with tempfile.TemporaryDirectory(prefix="quorumkit-geth-") as folder:
            output = _compile(toolchain, Path(folder), progress)
            binary = Binary(path, version, sha256_of(output))
            partial = path.with_suffix(".partial")
            shutil.copyfile(output, partial)
            partial.chmod(0o755)
            partial.replace(path)
            written = path.stat()
            record = {
                **{"version": version, "sha256": binary.sha256, "size": written.st_size},
                **{"mtime_ns": written.st_mtime_ns, "go": toolchain.version, "package": PACKAGE},
            }
            write_atomic(path.with_suffix(".json"), to_json(record))
        if toolchain.disposable:
            _remove(toolchain.disposable)
        return binary


def _compile(toolchain: GoToolchain, folder: Path, progress: Progress) -> Path:
    source = files(__package__).joinpath("module")
    for name in ("go.mod", "go.sum", "geth.go"):
        (folder / name).write_bytes(source.joinpath(name).read_bytes())
    output = folder / "geth"
    # The module's own flags decide, not the user's: the same source gives the same bytes.
    environment = toolchain.environment | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    command = [toolchain.command, "build", "-v", "-trimpath", "-buildvcs=false", f"-ldflags={_LDFLAGS}"]
    what = f"building geth {_PINNED} with {toolchain.version} (once)"
    progress(what, 0, PACKAGES)
    tail: list[str] = []
    with subprocess.Popen(
        [*command, "-o", str(output), PACKAGE], cwd=folder, env=environment, encoding="utf-8", errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        compiled = 0
        try:
            for line in process.stderr:
                tail = [*tail[-20:], line.strip()]
                if not line.startswith("go: "):
                    compiled += 1
                progress(what, min(compiled, PACKAGES), PACKAGES)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        text = "\n".join(tail)
        if "no space left on device" in text:
            raise EngineError("no room on the disk to build geth", hint="free some room (1.5 GB) and try again")
        problem = next((line for line in reversed(tail) if line and not line.startswith("#")), "no reason given")
        raise EngineError(
            f"geth could not be built: {problem}",
            hint="the Go module proxy must be reachable; or name a ready binary with --engine-binary",
        )
    return output


def _binary_path(version: str) -> Path:
    return cache_directory() / "engines" / f"geth-{version}" / "geth"


def _remove(folder: Path) -> None:
    """Go makes its module cache read-only, directories too."""
    for directory, _, _ in os.walk(folder):
        Path(directory).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
