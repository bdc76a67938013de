"""A log to look into."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Log:
    """A `LogSink` that keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def close(self) -> None:
        pass

    def __contains__(self, text: str) -> bool:
        """Whether a line has that in it."""
        return any(text in line for line in self.lines)


async def until(check: Callable[[], object], *, within: float = 30.0) -> None:
    """Returns once that is so, of something that tells nobody."""
    async with asyncio.timeout(within):
        while not check():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
