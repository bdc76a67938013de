"""The image that the node image is built in: what was under its name the first time is what is used from then on.

A tag such as `bookworm-slim` is moved by whoever publishes it. The digest under it is kept in the user's cache, and
another one is refused until the base is named again by a person.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from quorumkit.cache import cache_directory
from quorumkit.container_engine import have_image
from quorumkit.errors import RuntimeUnavailableError
from quorumkit.files import to_json, write_atomic
from quorumkit.progress import Progress


@dataclass(frozen=True)
class Base:
    """A base image that is there."""

    name: str
    id: str
    """By which it is known again: the digest of its configuration."""
    digest: str | None
    """Of the manifest under which a registry has it; None where it came from none."""


def settle_base(name: str, progress: Progress, *, accept: bool) -> Base:
    """The base image, which is fetched where it is missing. `accept` takes one that changed.

    Raises:
        RuntimeUnavailableError: it cannot be had, or is another one than before.
    """
    found = have_image(
        name, progress, called=f"the base image {name}", missing=f"the base image {name} is not here",
        hint="load it with `docker load`, or name a mirror: quorumkit image build --base IMAGE",
    )  # fmt: skip
    base = Base(name, str(found["Id"]), registry_digest(found, name))
    path = cache_directory() / "image" / "bases.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        known = _read(path)
        before = known.get(name)
        if before is not None and before != base.id and not accept:
            raise RuntimeUnavailableError(
                f"the base image {name} is another one than before: {base.id}, and it was {before}",
                hint=f"if that is meant: quorumkit image build --base {name}",
            )
        if before != base.id:
            write_atomic(path, to_json({**known, name: base.id}))
    return base


def registry_digest(inspected: dict[str, Any], name: str) -> str | None:
    """From `docker image inspect`: the digest of the manifest under which a registry has it."""
    repository = name.partition("@")[0]
    head, colon, tag = repository.rpartition(":")
    if colon and "/" not in tag:
        repository = head
    for found in inspected.get("RepoDigests") or []:
        place, _, digest = str(found).partition("@")
        if place in (repository, f"docker.io/library/{repository}", f"docker.io/{repository}"):
            return digest
    return None


def _read(path: Path) -> dict[str, str]:
    try:
        return {str(name): str(digest) for name, digest in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
