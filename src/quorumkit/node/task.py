"""One part of a node's group that the node program carries itself: started, waited for until it is ready, cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorumkit.errors import NodeError, QuorumkitError
from quorumkit.foreign import one_line
from quorumkit.node.log import LogSink, own_line
from quorumkit.node.trouble import Troubles
from quorumkit.process_spec import TaskSpec
from quorumkit.record import NodeRecord


@dataclass(frozen=True)
class Ground:
    """What all tasks of a node stand on."""

    record: Callable[[], NodeRecord]
    """The node's, as it was last read."""
    publish: Callable[[str, Any], None]
    """Takes a figure for the node's status."""


class CarriedTask:
    """One run of it. `live` is the whole of its life. It is what its coroutine gets as its `Carrier`, too."""

    pid: int | None = None
    """It has none of its own."""
    silent_since: float | None = None
    """Nobody asks it for signs of life."""

    def __init__(self, spec: TaskSpec, directory: Path, log: LogSink, troubles: Troubles, ground: Ground) -> None:
        self.spec = spec
        self.ready = asyncio.Event()
        """Set once it was ready."""
        self.failure: NodeError | None = None
        """Why it was given up, if it was."""
        self.last_words: str | None = None
        """Why it ended by itself, as far as it said."""
        self.restarts_at_once = False
        """Whether it ended to have its group started again, which is no failure of it."""
        self._carrier = _Carrier(spec.words, directory, log, ground, self.ready)
        self._troubles = troubles
        self._task: asyncio.Task[None] | None = None
        self._stop_asked = asyncio.Event()
        self._stop_within = spec.stop_within
        self._ending: asyncio.Timeout | None = None

    @property
    def has_ended(self) -> bool:
        """Whether it was started and has ended, whoever wanted it."""
        return self._task is not None and self._task.done()

    async def live(self) -> str:
        """Runs it until it is stopped or ends; why it ended. It has ended when this returns, cancelled or not, or was
        left behind.

        Raises:
            NodeError: it was not ready in time.
        """
        if self._stop_asked.is_set():
            return "stopped"
        task = self._task = asyncio.create_task(self.spec.run(self._carrier), name=f"{self.spec.name} of a node")
        within = self.spec.ready_within
        timer = asyncio.get_running_loop().call_later(within, self._look, within) if within is not None else None
        stopping = asyncio.create_task(self._stop_asked.wait())
        try:
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if timer is not None:
                timer.cancel()
            stopping.cancel()
            if task.done():
                self._learn(task)
            else:
                await self._end(task)
        if self.failure is not None:
            raise self.failure
        return self.last_words or "stopped"

    def stop(self, within: float = float("inf")) -> None:
        """Has `live` end it and return; within so many seconds, where its spec gives it longer."""
        self._stop_asked.set()
        self._stop_within = min(self._stop_within, within)
        if self._ending is not None and (until := self._ending.when()) is not None:
            self._ending.reschedule(min(until, asyncio.get_running_loop().time() + within))

    def reload(self) -> None:
        """Nothing: it sees what changed in its carrier's record."""

    def _look(self, within: float) -> None:
        if not self.ready.is_set() and not self._stop_asked.is_set():
            self.failure = NodeError(f"the {self.spec.words} was not ready in {within:g} s")
            self.stop()

    def _learn(self, task: asyncio.Task[None]) -> None:
        """Why one ended that nobody told to."""
        error = None if task.cancelled() else task.exception()
        if isinstance(error, QuorumkitError):
            self.last_words = explained(error)
            self.restarts_at_once = error.restarts_at_once
        elif error is not None:
            self._troubles.report(f"its {self.spec.words}", error)
            self.last_words = one_line(f"{type(error).__name__}: {error}")
        else:
            self.last_words = "it ended by itself"

    async def _end(self, task: asyncio.Task[None]) -> None:
        """Cancels it, and returns when it has ended or had its time."""
        task.cancel()
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(self._stop_within) as self._ending:
                await asyncio.wait([task])
        except TimeoutError:
            took = asyncio.get_running_loop().time() - began
            self._carrier.say("WARN", f"did not end in {round(took, 1):g} s and is left behind")
            _leave(task)
            return
        finally:
            self._ending = None
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, QuorumkitError):
            self._troubles.report(f"the end of its {self.spec.words}", error)


class _Carrier:
    """See `process_spec.Carrier`."""

    def __init__(self, words: str, directory: Path, log: LogSink, ground: Ground, is_ready: asyncio.Event) -> None:
        self.directory = directory
        self.ready = is_ready.set
        self.record = ground.record
        self.publish = ground.publish
        self._words = words
        self._log = log

    def say(self, level: str, text: str) -> None:
        self._log.line(own_line(level, f"{self._words}: {text}"))


def explained(error: QuorumkitError) -> str:
    """What is wrong, and what to do, in one line."""
    return error.message + (f" ({error.hint})" if error.hint else "")


_left: set[asyncio.Task[None]] = set()
"""An event loop alone keeps no task from being collected while it waits."""


def _leave(task: asyncio.Task[None]) -> None:
    """Lets it go on for as long as it likes. The end of the event loop would wait for every task that it knows."""
    asyncio._unregister_task(task)
    _left.add(task)
    task.add_done_callback(_forget)


def _forget(task: asyncio.Task[None]) -> None:
    _left.discard(task)
    if not task.cancelled():
        task.exception()  # nobody's any more
