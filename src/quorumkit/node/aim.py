"""What a node is to do: run, or not; and who waits until it has stopped."""

from __future__ import annotations

import asyncio


class Aim:
    """Of one node. It is not to run at first."""

    def __init__(self) -> None:
        self.stop_asked = False
        """Whether it is to stop, and has not yet; a start since then comes after that."""
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._unwanted.set()
        self._stopped = asyncio.Event()
        self._stopped.set()

    @property
    def is_to_run(self) -> bool:
        """Whether it is to run, now or once it has stopped."""
        return self._wanted.is_set()

    def start(self) -> None:
        """It is to run from now on."""
        self._unwanted.clear()
        self._stopped.clear()
        self._wanted.set()

    def stop(self) -> bool:
        """It is to stop; whether there is anything to stop."""
        self._wanted.clear()
        self._unwanted.set()
        if self._stopped.is_set():
            return False
        self.stop_asked = True
        return True

    async def stopped(self) -> None:
        """Returns when it has stopped, even if it is to start again by then."""
        await self._stopped.wait()

    async def started(self) -> None:
        """Returns when there is something to do: it is to run, or a stop came before anything was begun."""
        if not self.stop_asked:
            await self._wanted.wait()

    def has_stopped(self) -> None:
        """Lets everybody go on who waits in `stopped`. Somebody may have asked for a start since."""
        self.stop_asked = False
        self._stopped.set()
        if self.is_to_run:
            self._stopped.clear()

    async def comes(self, event: asyncio.Event, *, within: float | None = None) -> bool:
        """Waits for the event; False when the node is to stop before, or the time (seconds) was over."""
        either = [asyncio.create_task(event.wait()), asyncio.create_task(self._unwanted.wait())]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED, timeout=within)
        finally:
            for task in either:
                task.cancel()
        return event.is_set()
