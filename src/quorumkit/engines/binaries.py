"""Client binaries that were not built here: named by a person, or taken out of an image."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from quorumkit.cache import cache_directory
from quorumkit.engines.base import Binary, Recipe
from quorumkit.errors import EngineError, RuntimeUnavailableError
from quorumkit.files import sha256_of, to_json, write_atomic
from quorumkit.progress import Progress


def check_binary(
    path: Path, version: str, *, name: str, version_line: re.Pattern[str], otherwise: str | None = None
) -> Binary:
    """The binary that a person named, if `PATH version` prints a line that tells it is that client of that version.

    Raises:
        EngineError: it is not.
    """
    hint = f"name a {name} {version}" + (f", {otherwise}" if otherwise else "")
    if not path.is_file():
        raise EngineError(f"{path}: there is no such file", hint=hint)
    if not os.access(path, os.X_OK):
        raise EngineError(f"{path}: not executable", hint=f"chmod +x {path}")
    try:
        answer = subprocess.run(
            [path.absolute(), "version"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise EngineError(f"{path}: cannot be run ({error})", hint=hint) from None
    match = version_line.search(answer.stdout)
    if match is None:
        raise EngineError(f"{path}: not {name}", hint=hint)
    if match["version"] != version:
        raise EngineError(f"{path}: {name} {match['version']}, where the spec wants {version}", hint=hint)
    return Binary(path.absolute(), version, sha256_of(path))


def find_kept(recipe: Recipe, version: str, image: str) -> Binary | None:
    """The binary that was taken out of that image before, if it is there and as it was."""
    path = _kept_path(recipe, version, image)
    try:
        recorded = json.loads(path.with_suffix(".json").read_bytes())
        now = path.stat()
        if now.st_size != recorded["size"]:
            return None
        # The digest only where the time does not tell that nobody wrote to it: every command comes by here.
        if now.st_mtime_ns != recorded.get("mtime_ns") and sha256_of(path) != recorded["sha256"]:
            return None
        return Binary(path, str(recorded["version"]), str(recorded["sha256"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def take_from_image(
    image: str, inside: str, recipe: Recipe, version: str,
    *, name: str, version_line: re.Pattern[str], progress: Progress,
) -> Binary:  # fmt: skip
    """Copies a client out of an image with the container engine that is there, into the user's cache.

    Raises:
        EngineError: there is no container engine, or it has no such image and cannot get it; or the image holds another
            client than the first time.
    """
    from quorumkit.container_engine import docker

    progress(f"taking {name} out of {image} (once)")
    path = _kept_path(recipe, version, image)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # It never runs: the command is for an image that names none.
        container = docker("create", image, inside, timeout=600).split()[-1]
        try:
            with tempfile.TemporaryDirectory(dir=path.parent) as folder:
                copied = Path(folder) / "client"
                docker("cp", f"{container}:{inside}", str(copied))
                _check_as_before(path.with_suffix(".json"), sha256_of(copied), image, name)  # before any of it is run
                copied.chmod(0o755)
                binary = check_binary(copied, version, name=name, version_line=version_line)
                copied.replace(path)
        finally:
            docker("rm", container)
    except RuntimeUnavailableError as error:
        raise EngineError(
            f"{name} {version} is not here, and could not be taken out of {image}: {error.message}",
            hint="name a binary with --engine-binary, or engine.binary in the spec",
        ) from None
    now = path.stat()
    record = {
        **{"version": version, "sha256": binary.sha256, "image": image},
        **{"size": now.st_size, "mtime_ns": now.st_mtime_ns},
    }
    write_atomic(path.with_suffix(".json"), to_json(record))
    return Binary(path, version, binary.sha256)


def _check_as_before(record: Path, digest: str, image: str, name: str) -> None:
    try:
        before = str(json.loads(record.read_bytes())["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if before != digest:
        raise EngineError(
            f"{image} holds another {name} than the first time: SHA-256 {digest}, and it was {before}",
            hint=f"if that is meant, remove {record}; to be sure of one, name the image by its digest",
        )


def _kept_path(recipe: Recipe, version: str, image: str) -> Path:
    """By the image too: another one may hold another build of that version."""
    name = hashlib.sha256(image.encode()).hexdigest()[:12]
    return cache_directory() / "engines" / f"{recipe.kind}-{version}-{name}" / recipe.program
