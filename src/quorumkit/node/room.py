"""A disk with no room left is named as the reason, whatever the client, its manager or the system say of it."""

from __future__ import annotations

import re
from pathlib import Path

LITTLE = 64 * 1024
"""Bytes of free disk with which nothing more can be written that matters."""

_ROOM = re.compile(r"no space left on device|disk quota exceeded|no room on the disk|low disk space", re.IGNORECASE)


def with_room_named(reason: str, directory: Path, free: int) -> str:
    """Why a node ended, with what is to be done where it is for want of room; `free` is in bytes."""
    if not _ROOM.search(reason) and free >= LITTLE:
        return reason
    return f"{directory}: no room on the disk: {reason} (free some room and run `quorumkit up` again)"
