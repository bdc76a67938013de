"""Whether a transaction manager is up."""

from __future__ import annotations

import asyncio
from pathlib import Path

from quorumkit.rpc.sockets import short_socket_path

_ANSWER_WITHIN = 5.0  # seconds


async def is_up(socket: Path) -> bool:
    """Whether one on that socket says so, as Constellation, Tessera and Quorumkit's own do to `GET /upcheck`."""
    writer = None
    try:
        async with asyncio.timeout(_ANSWER_WITHIN):
            with short_socket_path(socket) as name:
                reader, writer = await asyncio.open_unix_connection(name)
            writer.write(b"GET /upcheck HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b"up!" in await reader.read()
    except (OSError, TimeoutError):
        return False
    finally:
        if writer is not None:
            writer.close()
