"""The node programs of a network of this machine: one that carries all nodes, or one for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from quorumkit.errors import NodeError, NotRunningError, RpcError
from quorumkit.node.status import NodeStatus
from quorumkit.progress import Progress
from quorumkit.providers.program import NodeProgram
from quorumkit.providers.statuses import by_name

_T = TypeVar("_T")


class Programs:
    """All of one network."""

    def __init__(self, by_node: Mapping[str, NodeProgram], former: Sequence[NodeProgram] = ()) -> None:
        """`by_node` may name one program more than once. `former` are those of nodes that the spec has no more."""
        self._by_node = by_node
        self.former = former
        self.distinct = [*dict.fromkeys(by_node.values())]

    def __getitem__(self, name: str) -> NodeProgram:
        """The one that carries the node of that name."""
        return self._by_node[name]

    def __iter__(self) -> Iterator[str]:
        """The nodes' names, by ordinal."""
        return iter(self._by_node)

    def __len__(self) -> int:
        return len(self._by_node)

    def carried_by(self, program: NodeProgram) -> list[str]:
        """The names of the nodes that a program carries."""
        return [name for name, other in self._by_node.items() if other is program]

    def any_runs(self) -> bool:
        return any(program.process() for program in (*self.distinct, *self.former))

    def any_orphan(self) -> bool:
        """Whether clients outlived a program."""
        return any(program.orphans() for program in (*self.distinct, *self.former))

    async def statuses(self) -> dict[str, NodeStatus]:
        """What the programs that answer report, by node."""

        async def ask(program: NodeProgram) -> dict[str, NodeStatus]:
            with contextlib.suppress(RpcError, NotRunningError):
                return by_name(await program.call("node_status"))
            return {}

        answers = await asyncio.gather(*map(ask, self.distinct))
        return {name: status for answer in answers for name, status in answer.items()}

    async def call_each(self, method: str, names: Sequence[str]) -> None:
        """Calls a method that takes a list of nodes' names on the programs that carry these."""
        carried = [(program, [name for name in names if self[name] is program]) for program in self.distinct]
        await asyncio.gather(*(program.call(method, own) for program, own in carried if own))

    async def end(self, programs: Sequence[NodeProgram], progress: Progress) -> bool:
        """Ends some of them with all that they run. Whether any of them ran."""
        stopping = self.stopping(progress)

        async def end(program: NodeProgram) -> bool:
            with program.starting_or_stopping():
                return await program.end(stopping)

        present = [program for program in programs if program.state.exists()]
        return any(await all_of(map(end, present)))

    def stopping(self, progress: Progress) -> Callable[[list[dict[str, Any]]], None]:
        """What takes the statuses of nodes that are stopping, and makes progress of them."""
        total = len(self)
        stopped: set[str] = set()

        def report(nodes: list[dict[str, Any]]) -> None:
            stopped.update(node["name"] for node in nodes if node["state"] == "stopped")
            progress("stopping", min(len(stopped), total), total)

        return report


async def all_of(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """What all of them return. Cancelled, or where one fails, it raises so only once all have ended: a program that
    another one is about to start could not be found and ended yet."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except asyncio.CancelledError:  # so are the tasks then
        await asyncio.wait(tasks)
        raise
    except Exception:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        raise


async def spawn(program: NodeProgram, arguments: Sequence[str]) -> None:
    """Starts a node program; cancelled, it raises so only once the program can be found and ended."""
    await asyncio.to_thread(program.end_orphans)
    spawning = asyncio.create_task(asyncio.to_thread(program.spawn, arguments))
    try:
        await asyncio.shield(spawning)
    except asyncio.CancelledError:  # the thread goes on
        with contextlib.suppress(NodeError):
            await asyncio.shield(spawning)
        raise
