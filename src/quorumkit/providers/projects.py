"""Compose projects are known by their names alone, and two networks may have the same one."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from filelock import FileLock, Timeout

from quorumkit.cache import cache_directory
from quorumkit.providers.timing import LOCK_POLL


@contextlib.asynccontextmanager
async def sole_user_of(project: str) -> AsyncGenerator[None]:
    """Two commands do not start projects of one name at once: the one that comes second sees the first one's."""
    path = cache_directory() / "projects" / f"{project}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    while not lock.is_locked:
        with contextlib.suppress(Timeout):
            lock.acquire(blocking=False)
            break
        await asyncio.sleep(LOCK_POLL)
    try:
        yield
    finally:
        lock.release()
