"""Watching nodes: by looking again and again, and by following those who report."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from quorumkit.errors import NotRunningError
from quorumkit.node.status import NodeStatus
from quorumkit.providers.watching import Board, follow, follow_program, poll
from quorumkit.rpc import IpcRpc


def status(name: str, block: int = 0) -> NodeStatus:
    return NodeStatus(name, block=block)


async def taken(changes: AsyncGenerator[Any], count: int) -> list[Any]:
    found = []
    async with asyncio.timeout(10), contextlib.aclosing(changes):
        async for change in changes:
            found.append(change)
            if len(found) == count:
                break
    return found


def test_polling_tells_changes_alone_and_ends_with_what_the_check_raises() -> None:
    blocks = iter([1, 1, 1, 2, 2, 3])

    async def look() -> list[NodeStatus]:
        return [status("node1", next(blocks))]

    async def check(statuses: list[NodeStatus]) -> None:
        if statuses[0].block == 3:
            raise NotRunningError("gone")

    seen: list[int | None] = []

    async def run() -> None:
        async with asyncio.timeout(10):
            async for statuses in poll(look, every=0, check=check):
                seen.append(statuses[0].block)

    with pytest.raises(NotRunningError):
        asyncio.run(run())
    assert seen == [1, 2]


def test_nothing_is_told_before_something_is_known_of_each() -> None:
    async def run() -> list[Any]:
        board = Board(["node1", "node2", "node3"])
        first = asyncio.Event()

        async def one() -> None:
            board.put(status("node1"))
            await first.wait()
            board.put(status("node1", 7))
            await asyncio.Event().wait()

        async def two() -> None:
            await asyncio.sleep(0.01)
            board.put(status("node2"))
            first.set()
            board.end(["node3"])  # nothing runs it
            await asyncio.Event().wait()

        return [dict(board.statuses) for board in await taken(follow(board, [one, two]), 1)]

    (statuses,) = asyncio.run(run())
    assert set(statuses) == {"node1", "node2"}


def test_following_ends_when_nothing_reports_any_more_and_a_node_may_come_again() -> None:
    async def run() -> list[set[str]]:
        board = Board(["node1", "node2"])

        async def follower() -> None:
            board.put(status("node1"), status("node2"))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            board.end(["node2"])
            await asyncio.sleep(0.01)
            board.put(status("node2", 8))
            assert not board.has_ended
            await asyncio.sleep(0.01)
            board.end(["node1", "node2"])

        return [set(found.statuses) for found in [await first(board, follower)]]

    async def first(board: Board, follower: Any) -> Board:
        seen = []
        async with asyncio.timeout(10):
            async for found in follow(board, [follower]):
                seen.append(set(found.statuses))
        assert seen[0] == {"node1", "node2"} and {"node1"} in seen and seen[-1] == {"node1", "node2"}
        return board

    assert asyncio.run(run()) == [set()]


def test_what_is_said_twice_is_no_change() -> None:
    board = Board(["node1"])
    board.put(status("node1"))
    board.change.clear()
    board.put(status("node1"))
    assert not board.change.is_set()
    board.end(["node1"])
    board.change.clear()
    board.end(["node1"])
    assert not board.change.is_set() and board.has_ended


def test_who_watches_no_more_leaves_no_task_behind() -> None:
    async def run() -> int:
        board = Board(["node1"])

        async def follower() -> None:
            board.put(status("node1"))
            await asyncio.Event().wait()

        await taken(follow(board, [follower]), 1)
        return len(asyncio.all_tasks())

    assert asyncio.run(run()) == 1


def test_a_program_that_cannot_be_reached_is_followed_no_further() -> None:
    async def connect() -> IpcRpc:
        raise NotRunningError("it does not run")

    asyncio.run(follow_program(connect, lambda nodes: pytest.fail("nothing was reported")))
