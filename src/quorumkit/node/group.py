"""A node's parts as one: started in order, stopped in reverse; where one that the others need ends, all end.

A part is a process, or a task that the node program carries itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quorumkit.node.log import LogSink
from quorumkit.node.process import Process
from quorumkit.node.task import CarriedTask, Ground
from quorumkit.node.trouble import Troubles
from quorumkit.process_spec import GROUP_STOP_WITHIN, PartSpec, TaskSpec, in_order, stop_share

ORPHANS_END_WITHIN = 5.0
"""Seconds that those get to end that stood on one which ended by itself. They wait for it, or for each other."""


@dataclass(frozen=True)
class Ending:
    """How a group ended."""

    reason: str
    silent_since: float | None = None
    """When one of its processes answered no more (`time.monotonic`), where that ended it."""
    restarts_at_once: bool = False
    """Whether it ended to be started again, and failed of nothing."""


Part = Process | CarriedTask


class Group:
    """Of one start of a node. `run` is the whole of its life."""

    def __init__(
        self, specs: Sequence[PartSpec], directory: Path, log: LogSink, troubles: Troubles,
        *, main: str, changed: Callable[[], None] = lambda: None, ground: Ground | None = None,
    ) -> None:  # fmt: skip
        """`main` names the process whose end needs no name: the client. `changed` is called when a process has another
        pid, or none any more. `ground` is what tasks stand on, where there are any.

        Raises:
            ValueError: see `in_order`.
        """
        self._main = main

        def part(spec: PartSpec) -> Part:
            if isinstance(spec, TaskSpec):
                assert ground is not None
                return CarriedTask(spec, directory, log, troubles, ground)
            return Process(spec, directory, log, troubles, changed=changed)

        self._parts = {spec.name: part(spec) for spec in in_order(specs)}
        self._stop_asked = asyncio.Event()
        self._refusal: str | None = None
        self._waiting: set[str] = set()
        """Those that have not begun, because others are not ready yet."""

    def __getitem__(self, name: str) -> Part:
        return self._parts[name]

    @property
    def pids(self) -> dict[str, int]:
        """Of the processes that run now, by name."""
        return {name: part.pid for name, part in self._parts.items() if part.pid is not None}

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
        lives = {name: asyncio.create_task(self._live(part), name=name) for name, part in self._parts.items()}
        asked = asyncio.create_task(self._stop_asked.wait())
        ended: str | None = None
        try:
            await asyncio.wait([asked, *lives.values()], return_when=asyncio.FIRST_COMPLETED)
            late = next((each for each in self._parts.values() if not each.ready.is_set()), None)
            ended = next((name for name, life in lives.items() if life.done()), None)
        finally:
            asked.cancel()
            ended = await self._stop_all(lives, ended)
        if ended is None:
            stopped = f"stopped before its {late.spec.words} was ready" if late else "stopped"
            main = self._parts.get(self._main)
            return Ending((main and main.last_words) or self._refusal or stopped)
        return self._ending(self._parts[ended], lives[ended])

    async def _stop_all(self, lives: dict[str, asyncio.Task[str]], ended: str | None) -> str | None:
        """Ends all, in reverse order and all in `GROUP_STOP_WITHIN`. Which of them it was that ended first, where one
        had: what another stood on may have ended before it, and is only seen to have now."""
        until = time.monotonic() + GROUP_STOP_WITHIN
        left = list(self._parts)
        if ended is not None:
            for name in reversed(left):
                if ended in self._below(name):
                    self._parts[name].stop(ORPHANS_END_WITHIN)
        while left:
            name = left.pop()
            part = self._parts[name]
            if ended is not None and part.has_ended and name in self._below(ended):
                ended = name
            others = [self._parts[each].spec.stop_within for each in left if not lives[each].done()]
            part.stop(stop_share(until - time.monotonic(), part.spec.stop_within, others))
            if name in self._waiting:
                lives[name].cancel()
            await asyncio.gather(lives[name], return_exceptions=True)
        return ended

    def _below(self, name: str) -> set[str]:
        """The parts that this one stands on."""
        found: set[str] = set()
        left = [name]
        while left:
            further = set(self._parts[left.pop()].spec.after) - found
            found |= further
            left += further
        return found

    def stop(self) -> None:
        """Has `run` end all processes and return, whatever it is about to do."""
        self._stop_asked.set()

    def refuse(self, reason: str) -> None:
        """Ends all: what they are is not what they should be. What one of them says itself of its end goes before."""
        self._refusal = self._refusal or reason
        self.stop()

    def reload(self) -> None:
        """Has all read their files again that do so while they run."""
        for part in self._parts.values():
            part.reload()

    async def _live(self, part: Part) -> str:
        self._waiting.add(part.spec.name)
        for name in part.spec.after:
            await self._parts[name].ready.wait()
        self._waiting.discard(part.spec.name)
        return await part.live()

    def _ending(self, part: Part, life: asyncio.Task[str]) -> Ending:
        if part.silent_since is not None and part.failure is not None:
            return Ending(part.last_words or part.failure.message, part.silent_since)
        reason = life.result()
        if part.spec.name != self._main:
            reason = f"its {part.spec.words}: {reason}"
        return Ending(reason, restarts_at_once=part.restarts_at_once)
