"""Watching nodes: by looking again and again, or by following what node programs report over their control sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from typing import Any

from quorumkit.errors import QuorumkitError
from quorumkit.node.status import NodeStatus
from quorumkit.rpc import IpcRpc

Look = Callable[[], Awaitable[list[NodeStatus]]]
Check = Callable[[list[NodeStatus]], Awaitable[None]]


async def poll(look: Look, *, every: float, check: Check | None = None) -> AsyncGenerator[list[NodeStatus]]:
    """What `look` finds, and again at each change; what `check` raises ends it. `every` is in seconds."""
    last: list[NodeStatus] = []
    while True:
        statuses = await look()
        if check is not None:
            await check(statuses)
        if statuses != last:
            last = statuses
            yield statuses
        await asyncio.sleep(every)


class Board:
    """The newest status of each node, kept by those who follow the node programs."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = [*names]
        self._statuses: dict[str, NodeStatus] = {}
        self._ended: set[str] = set()
        self.change = asyncio.Event()

    def put(self, *statuses: NodeStatus) -> None:
        for status in statuses:
            self._ended.discard(status.name)
            if self._statuses.get(status.name) != status:
                self._statuses[status.name] = status
                self.change.set()

    def end(self, names: Iterable[str]) -> None:
        """Nothing is reported of these nodes any more."""
        if new := set(names) - self._ended:
            self._ended |= new
            for name in new:
                self._statuses.pop(name, None)
            self.change.set()

    @property
    def statuses(self) -> dict[str, NodeStatus]:
        return dict(self._statuses)

    @property
    def is_full(self) -> bool:
        """Whether there is something to be said of each node."""
        return self._ended.union(self._statuses).issuperset(self._names)

    @property
    def has_ended(self) -> bool:
        return self._ended.issuperset(self._names)


async def follow(board: Board, followers: Sequence[Callable[[], Awaitable[None]]]) -> AsyncGenerator[Board]:
    """The board, once it is full and again at each change, until nothing follows any node any more. `followers` are
    what keeps it up to date; they run meanwhile."""
    tasks = [asyncio.ensure_future(follower()) for follower in followers]
    try:
        while not board.has_ended:
            board.change.clear()
            if board.is_full:
                yield board
            await board.change.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def follow_program(
    connect: Callable[[], Awaitable[IpcRpc]], report: Callable[[list[dict[str, Any]]], None]
) -> None:
    """Hands each list of statuses that a node program sends to `report`; returns when it ends or cannot be reached."""
    with contextlib.suppress(QuorumkitError):
        async with await connect() as control, contextlib.aclosing(control.subscribe(namespace="status")) as changes:
            async for nodes in changes:
                report(nodes)
