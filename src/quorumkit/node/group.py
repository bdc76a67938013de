"""A node's processes as one: started in order, stopped in reverse; where one that the others need ends, all end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quorumkit.node.log import LogSink
from quorumkit.node.process import Process
from quorumkit.node.trouble import Troubles
from quorumkit.process_spec import ProcessSpec, in_order


@dataclass(frozen=True)
class Ending:
    """How a group ended."""

    reason: str
    silent_since: float | None = None
    """When one of its processes answered no more (`time.monotonic`), where that ended it."""


class Group:
    """Of one start of a node. `run` is the whole of its life."""

    def __init__(
        self, specs: Sequence[ProcessSpec], directory: Path, log: LogSink, troubles: Troubles,
        *, main: str, changed: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`main` names the process whose end needs no name: the client. `changed` is called when a process has another
        pid, or none any more.

        Raises:
            ValueError: see `in_order`.
        """
        self._main = main
        self._processes = {
            spec.name: Process(spec, directory, log, troubles, changed=changed) for spec in in_order(specs)
        }
        self._stop_asked = asyncio.Event()
        self._refusal: str | None = None
        self._waiting: set[str] = set()
        """Those that have not begun, because others are not ready yet."""

    def __getitem__(self, name: str) -> Process:
        return self._processes[name]

    @property
    def pids(self) -> dict[str, int]:
        """Of the processes that run now, by name."""
        return {name: process.pid for name, process in self._processes.items() if process.pid is not None}

    async def run(self) -> Ending:
        """Starts all, each once those before it are ready, and returns when all have ended: because one did that does
        not start again by itself, or `stop` or `refuse` was called.

        Raises:
            EngineError: one cannot be run.
            NodeError: one was given up.
            OSError: what a killed one left cannot be removed.
        """
        if self._stop_asked.is_set():
            return Ending("stopped before it started")
        lives = {name: asyncio.create_task(self._live(process), name=name) for name, process in self._processes.items()}
        asked = asyncio.create_task(self._stop_asked.wait())
        try:
            await asyncio.wait([asked, *lives.values()], return_when=asyncio.FIRST_COMPLETED)
            late = next((each for each in self._processes.values() if not each.ready.is_set()), None)
            ended = next((name for name, life in lives.items() if life.done()), None)
        finally:
            asked.cancel()
            for name, process in reversed(self._processes.items()):
                process.stop()
                if name in self._waiting:
                    lives[name].cancel()
                await asyncio.gather(lives[name], return_exceptions=True)
        if ended is None:
            stopped = f"stopped before its {late.spec.words} was ready" if late else "stopped"
            main = self._processes.get(self._main)
            return Ending((main and main.last_words) or self._refusal or stopped)
        return self._ending(self._processes[ended], lives[ended])

    def stop(self) -> None:
        """Has `run` end all processes and return, whatever it is about to do."""
        self._stop_asked.set()

    def refuse(self, reason: str) -> None:
        """Ends all: what they are is not what they should be. What one of them says itself of its end goes before."""
        self._refusal = self._refusal or reason
        self.stop()

    def reload(self) -> None:
        """Has all read their files again that do so while they run."""
        for process in self._processes.values():
            process.reload()

    async def _live(self, process: Process) -> str:
        self._waiting.add(process.spec.name)
        for name in process.spec.after:
            await self._processes[name].ready.wait()
        self._waiting.discard(process.spec.name)
        return await process.live()

    def _ending(self, process: Process, life: asyncio.Task[str]) -> Ending:
        if process.silent_since is not None and process.failure is not None:
            return Ending(process.last_words or process.failure.message, process.silent_since)
        reason = life.result()
        return Ending(reason if process.spec.name == self._main else f"its {process.spec.words}: {reason}")
