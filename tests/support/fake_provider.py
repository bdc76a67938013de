"""A provider without processes, containers or pods: what nodes do is written in a test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NotRunningError, UsageError
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints, node_name
from quorumkit.progress import Progress
from quorumkit.providers.base import Command, ExchangeHost, ExchangeWords
from quorumkit.providers.copying import copy_local
from quorumkit.providers.disks import Disks
from quorumkit.providers.statuses import completed, of_spec
from quorumkit.providers.watching import poll
from quorumkit.rpc import Rpc
from quorumkit.spec import NetworkSpec

Answer = Callable[..., Any]


class FakeProvider:
    """See `Provider`, and `ExchangeHost`: it is both, which makes more methods than twenty."""

    words = ExchangeWords(unit="fake", see="quorumkit logs NODE")
    look_every = 0.001

    def __init__(
        self, directory: NetworkDirectory, spec: NetworkSpec, endpoints: Callable[[int], NodeEndpoints]
    ) -> None:
        self._directory = directory
        self._spec = spec
        self._endpoints = endpoints
        self.names = [node_name(ordinal) for ordinal in range(1, spec.nodes.total + 1)]
        self.statuses: dict[str, NodeStatus] = {}
        """What the nodes report now, by name; a node that is not there is stopped."""
        self.answers: dict[str, Answer] = {}
        """What node programs answer, by method: given the node's name and the parameters. They may raise."""
        self.done: list[str] = []
        """What was asked of the provider, in order."""
        self.running = False
        self.lost: list[str] = []
        """The nodes whose disks are gone."""
        self.on_start: Callable[[], None] = lambda: None
        self.on_look: Callable[[int], None] = lambda count: None
        """Called before each look with how many there were; may change `statuses`, or raise."""
        self.looks = 0
        self.nothing_beforehand = False
        self.keeps_records = False
        """Whether the nodes' own directories are those of the network directory."""

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        return [self._endpoints(ordinal) for ordinal in range(1, spec.nodes.total + 1)]

    def render(self, network: Network) -> None:
        self.done.append("render")

    def acquire(self, progress: Progress) -> None:
        self.done.append("acquire")

    async def start(self, network: Network, progress: Progress) -> bool:
        was_running, self.running = self.running, True
        self.done.append("start")
        self.on_start()
        return not was_running

    async def stop(self, progress: Progress) -> bool:
        was_running, self.running = self.running, False
        self.statuses.clear()
        self.done.append("stop")
        return was_running

    async def discard(self, progress: Progress) -> None:
        self.done.append("discard")

    async def is_running(self) -> bool:
        return self.running

    async def look(self) -> list[NodeStatus]:
        self.on_look(self.looks)
        self.looks += 1
        return of_spec(self._spec, self.statuses)

    async def status(self, network: Network) -> list[NodeStatus]:
        return [completed(network, status) for status in await self.look()]

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        async with contextlib.aclosing(poll(lambda: self.status(network), every=self.look_every)) as changes:
            async for statuses in changes:
                yield statuses

    async def connect(self, node: Node) -> Rpc:
        raise NotRunningError(f"{node.name}: nothing runs here")

    async def call(self, name: str, method: str, *params: Any) -> Any:
        self.done.append(f"{method} {name}")
        if method not in self.answers:
            raise NotRunningError(f"{name}: its node program does not run")
        return self.answers[method](name, *params)

    async def copy(self, name: str, path: str, to: Path) -> None:
        copy_local(self._directory.node(name), path, to)

    async def start_nodes(self, names: Sequence[str]) -> None:
        self.done.append(f"start {' '.join(names)}")

    async def stop_nodes(self, names: Sequence[str]) -> None:
        self.done.append(f"stop {' '.join(names)}")

    async def restart_nodes(self, names: Sequence[str]) -> None:
        self.done.append(f"restart {' '.join(names)}")

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        return Command(["true"], self._directory.path)

    def console(self, node: Node, *, execute: str | None) -> Command:
        return Command(["true"], self._directory.path)

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        return Command([*arguments], self._directory.path)

    def exchange_host(self) -> ExchangeHost:
        if self._spec.identities != "exchanged":
            raise UsageError("generated")
        return self

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        self.done.append("alone")
        yield
        self.done.append("not alone")

    async def find_disks(self) -> Disks:
        self.done.append("find disks")
        return Disks(self.lost, running=self.running)

    def check_beforehand(self) -> None:
        if self.nothing_beforehand:
            raise UsageError("there is nothing to make beforehand")

    def write(self, disks: Disks | None) -> None:
        self.done.append("write" if disks else "write beforehand")

    async def start_exchange(self, progress: Progress) -> None:
        self.running = True
        self.done.append("start")
        self.on_start()
        await asyncio.sleep(0)

    async def reported(self) -> list[NodeStatus]:
        return await self.look()

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        """They live."""

    async def why_none(self) -> str:
        return "; the fake forbids it"

    async def agreed_endpoints(self) -> list[NodeEndpoints] | None:
        return None if self.keeps_records else self.addresses(self._spec, [])

    async def adopt(self) -> None:
        self.done.append("adopt")

    async def undo(self, progress: Progress) -> None:
        self.running = False
        self.done.append("undo")
