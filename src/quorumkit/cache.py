"""The user's cache: what was built or fetched once and can be had again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """`$QUORUMKIT_CACHE`, or the platform's cache directory (XDG Base Directory specification)."""
    if chosen := os.environ.get("QUORUMKIT_CACHE"):
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("quorumkit")
