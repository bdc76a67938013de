"""Builds programs from their Go modules, once, into the user's cache."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from quorumkit.cache import cache_directory
from quorumkit.engines.base import Binary
from quorumkit.engines.go_toolchain import GoToolchain, go_from_wheel, go_on_path
from quorumkit.errors import EngineError
from quorumkit.files import sha256_of, to_json, write_atomic
from quorumkit.progress import Progress


@dataclass(frozen=True)
class GoProgram:
    """A program, and the exact source that it is built from."""

    name: str
    """Of its file."""
    title: str
    """What people call it."""
    version: str
    """The only one that can be built: `module` pins it and all that it is built from (go.sum has their digests)."""
    package: str
    """Its import path."""
    module: str
    """The Python package that holds `go.mod`, `go.sum` and a Go file that names `package`."""
    packages: int
    """How many packages one build compiles, the standard library's among them: for the progress line."""
    room: int
    """Bytes of disk that a build from empty caches took."""
    oldest_go: tuple[int, int]
    """The first Go that can build it."""
    ldflags: str = "-s -w"


def find_built(program: GoProgram, version: str) -> Binary | None:
    """The binary in the cache, if it is there and as it was when it was built."""
    path = _path(program.name, version)
    try:
        recorded = json.loads(path.with_suffix(".json").read_bytes())
        now = path.stat()
        # Size and time, not the digest: every command comes by here.
        if [now.st_size, now.st_mtime_ns] != [recorded["size"], recorded["mtime_ns"]]:
            return None
        return Binary(path, str(recorded["version"]), str(recorded["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build(programs: Sequence[GoProgram], progress: Progress) -> list[Binary]:
    """Builds those that are not there yet, at once: static binaries (no C compiler needed). One progress line tells of
    all.

    Raises:
        EngineError: no compiler, no room, or a build failed.
    """
    from filelock import FileLock

    with ExitStack() as locks:
        for program in programs:  # always in one order, so that two commands cannot wait for each other
            path = _path(program.name, program.version)
            path.parent.mkdir(parents=True, exist_ok=True)
            locks.enter_context(FileLock(path.with_suffix(".lock")))
        # Another process may have built one while this one waited.
        missing = [program for program in programs if find_built(program, program.version) is None]
        if missing:
            _check_room(missing)
            if toolchain := go_on_path(max(program.oldest_go for program in missing)):
                _build_all(missing, toolchain, progress)
            else:
                _build_with_fetched(missing, progress)
        found = [find_built(program, program.version) for program in programs]
    if None in found:
        raise EngineError("what was built is gone already", hint="try again")
    return [binary for binary in found if binary]


def _build_with_fetched(programs: Sequence[GoProgram], progress: Progress) -> None:
    """With a compiler that is fetched for it and removed with its caches; not where a build failed, which is likely to
    be tried again. Two commands that build different programs take turns: they have that place in common."""
    from filelock import FileLock

    with FileLock(cache_directory() / "go-toolchain.lock"):
        toolchain = go_from_wheel(progress)
        is_to_go = True
        try:
            _build_all(programs, toolchain, progress)
        except EngineError:
            is_to_go = False
            raise
        finally:
            if is_to_go and toolchain.disposable:
                _remove(toolchain.disposable)


def _check_room(programs: Sequence[GoProgram]) -> None:
    place = _path(programs[0].name, programs[0].version).parent
    needed, free = sum(program.room for program in programs), shutil.disk_usage(place).free
    if free < needed:
        takes = f"building {_names(programs)} takes {needed / 1e9:.1f} GB of disk"
        raise EngineError(
            f"{takes}, and {place} has {free / 1e9:.1f} GB free",
            hint="free some room, point QUORUMKIT_CACHE to another disk, or name a binary with --engine-binary",
        )


def _build_all(programs: Sequence[GoProgram], toolchain: GoToolchain, progress: Progress) -> None:
    versions = " and ".join(f"{program.title} {program.version}" for program in programs)
    what, total = f"building {versions} with {toolchain.version} (once)", sum(each.packages for each in programs)
    running = _Running()
    compiled, lock = [0], threading.Lock()

    def one_more() -> None:
        with lock:
            compiled[0] += 1
            progress(what, min(compiled[0], total), total)

    progress(what, 0, total)
    with ThreadPoolExecutor(len(programs)) as pool:
        builds = [pool.submit(_build_one, program, toolchain, running, one_more) for program in programs]
        try:
            for each in wait(builds, return_when=FIRST_EXCEPTION).done:
                each.result()
        except BaseException:
            running.end()
            raise


class _Running:
    """The compilers that run: none is left where one fails, or the command is interrupted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[str]] = []
        self._is_over = False

    def add(self, process: subprocess.Popen[str]) -> None:
        with self._lock:
            self._processes.append(process)
            if self._is_over:
                process.send_signal(signal.SIGINT)

    def end(self) -> None:
        with self._lock:
            self._is_over = True
            for process in self._processes:
                process.send_signal(signal.SIGINT)  # the one at which Go waits for those that it has started


def _build_one(program: GoProgram, toolchain: GoToolchain, running: _Running, one_more: Callable[[], None]) -> None:
    path = _path(program.name, program.version)
    with tempfile.TemporaryDirectory(prefix=f"quorumkit-{program.name}-", ignore_cleanup_errors=True) as folder:
        output = _compile(program, toolchain, Path(folder), running, one_more)
        sha256 = sha256_of(output)
        partial = path.with_suffix(".partial")
        shutil.copyfile(output, partial)
        partial.chmod(0o755)
        partial.replace(path)
        written = path.stat()
        record = {
            **{"version": program.version, "sha256": sha256, "size": written.st_size},
            **{"mtime_ns": written.st_mtime_ns, "go": toolchain.version, "package": program.package},
        }
        write_atomic(path.with_suffix(".json"), to_json(record))


def _compile(
    program: GoProgram,
    toolchain: GoToolchain,
    folder: Path,
    running: _Running,
    one_more: Callable[[], None],
) -> Path:
    for source in files(program.module).iterdir():
        if source.name.endswith((".go", ".mod", ".sum")):
            (folder / source.name).write_bytes(source.read_bytes())
    output = folder / "built"
    # The module's own flags decide, not the user's: the same source gives the same bytes.
    environment = toolchain.environment | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    environment["GOTMPDIR"] = str(folder)
    command = [toolchain.command, "build", "-v", "-trimpath", "-buildvcs=false", f"-ldflags={program.ldflags}"]
    tail: list[str] = []
    with subprocess.Popen(
        [*command, "-o", str(output), program.package], cwd=folder, env=environment, encoding="utf-8",
        errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        running.add(process)
        assert process.stderr is not None
        try:
            for line in process.stderr:
                tail = [*tail[-20:], line.strip()]
                if not line.startswith("go: "):
                    one_more()
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        text = "\n".join(tail)
        if "no space left on device" in text:
            room = f"{program.room / 1e9:.1f} GB"
            raise EngineError(
                f"no room on the disk to build {program.title}", hint=f"free some room ({room}) and try again"
            )
        problem = next((line for line in reversed(tail) if line and not line.startswith("#")), "no reason given")
        raise EngineError(
            f"{program.title} could not be built: {problem}",
            hint="the Go module proxy must be reachable; or name a ready binary with --engine-binary",
        )
    return output


def _names(programs: Sequence[GoProgram]) -> str:
    return " and ".join(program.title for program in programs)


def _path(name: str, version: str) -> Path:
    return cache_directory() / "engines" / f"{name}-{version}" / name


def _remove(folder: Path) -> None:
    """Go makes its module cache read-only, directories too."""
    for directory, _, _ in os.walk(folder):
        Path(directory).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)
