"""What goes wrong in the care of a node while it runs on: never the end of the node program.

The traceback goes to the node's log, one line to its status (`trouble`), and what failed is tried again, with back-off.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import traceback
from collections.abc import Awaitable, Callable

from quorumkit.foreign import one_line
from quorumkit.node.backoff import Backoff
from quorumkit.node.log import LogSink, own_line

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds before what failed is tried again, twice as long each time."""

WELL_AFTER = 10.0
"""Seconds without a failure after which a trouble is over."""


class Troubles:
    """One node's. `tell` takes them all as one line, or None once there are none."""

    def __init__(self, log: LogSink, tell: Callable[[str | None], None]) -> None:
        self._log = log
        self._tell = tell
        self._present: dict[str, str] = {}

    def report(self, about: str, error: BaseException) -> None:
        """An exception that nobody expected."""
        text = one_line(f"{type(error).__name__}: {error}")
        self._log.line(own_line("ERROR", f"{about}: {text}"))
        for block in traceback.format_exception(error):
            for line in block.splitlines():
                indent = len(line) - len(line.lstrip(" "))
                self._log.line(" " * (2 + indent) + one_line(line))
        self.note(about, text)

    def note(self, about: str, text: str | None) -> None:
        """What is wrong with that; None where nothing is any more."""
        before = dict(self._present)
        if text is None:
            self._present.pop(about, None)
        else:
            self._present[about] = text
        if self._present != before:
            self._tell("; ".join(f"{what}: {how}" for what, how in self._present.items()) or None)


async def kept_up(
    work: Callable[[], Awaitable[None]], about: str, troubles: Troubles, *, until: asyncio.Event | None = None
) -> None:
    """Does the work again whenever it fails; returns when it does, and does not begin it again once `until` is set."""
    over = until or asyncio.Event()
    backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
    while True:
        began = time.monotonic()
        well = asyncio.get_running_loop().call_later(WELL_AFTER, troubles.note, about, None)
        try:
            await work()
        except Exception as error:
            troubles.report(about, error)
        except asyncio.CancelledError:
            troubles.note(about, None)
            raise
        else:
            troubles.note(about, None)
            return
        finally:
            well.cancel()
        if time.monotonic() - began > WELL_AFTER:
            backoff.start_over()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(backoff.next()):
                await over.wait()
                return
