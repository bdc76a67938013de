"""The lines of a program's output, however long they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

LONGEST_LINE = 2**16
"""Bytes of one line that are kept; how many there were beyond it is written in their place."""

_CHUNK = 2**16


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Each line without its end, until the stream's; what is no UTF-8 is replaced."""
    kept, left_out = bytearray(), 0

    def take(piece: bytes) -> int:
        room = LONGEST_LINE - len(kept)
        kept.extend(piece[:room])
        return max(0, len(piece) - room)

    def line() -> str:
        text = kept.decode("utf-8", "replace").rstrip()
        return f"{text} … and {left_out} bytes more" if left_out else text

    while chunk := await stream.read(_CHUNK):
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            left_out += take(piece)
            yield line()
            kept.clear()
            left_out = 0
        left_out += take(rest)
    if kept or left_out:
        yield line()
