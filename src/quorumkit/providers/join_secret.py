"""The secret by which the nodes of a network know each other before they know each other's keys."""

from __future__ import annotations

import secrets
from pathlib import Path

from quorumkit.files import SECRET_MODE, write_atomic

JOIN_SECRET = "join-secret"  # noqa: S105 - a file's name


def ensure_join_secret(directory: Path) -> Path:
    """Its file in a network directory, made where there is none. To be called under the directory's lock."""
    path = directory / JOIN_SECRET
    if not path.exists():
        write_atomic(path, secrets.token_urlsafe(32).encode(), mode=SECRET_MODE)
    return path
