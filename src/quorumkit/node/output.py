"""What a process writes, on a pipe of the node program's own: that of `asyncio` would have a process count as running
for as long as a child of it holds the pipe."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def output_pipe() -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
    """A descriptor to start one process with, which is closed here with `os.close` once it has started, and what comes
    out of it, for the length of the block."""
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        yield write_end, reader
    finally:
        transport.close()
