"""A provider whose nodes run nowhere: for tests of what is done with a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path
from typing import Any

from quorumkit.errors import NotRunningError, RpcError, UsageError
from quorumkit.node.status import NodeStatus, State
from quorumkit.plan import Network, Node, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.providers.base import Command, ExchangeHost
from quorumkit.providers.statuses import stopped_status
from quorumkit.rpc import Rpc
from quorumkit.spec import NetworkSpec


class FakeProvider:
    """See `Provider`. A node is complete as soon as it is started, unless `states` says what becomes of it."""

    def __init__(self, network: Network, *, running: bool = False) -> None:
        self.network = network
        self.calls: list[Any] = []
        """What was called, in order: names of methods, with what they were given where that matters."""
        self.becomes: dict[str, State] = {}
        """The state that a node comes to when it is started, where that is not `running`."""
        self.states: dict[str, State] = dict.fromkeys((node.name for node in network.nodes), "stopped")
        self.errors: dict[str, str] = {}
        self.clients: dict[str, Callable[[], Rpc]] = {}
        """What `connect` gives, by node."""
        self.answers: dict[str, Callable[..., Any]] = {}
        """What node programs answer, by method; it is given the node's name and the parameters."""
        self.when_watched: Callable[[], None] = lambda: None
        """Called after each look of whoever watches, such as to press Ctrl-C."""
        self._change = asyncio.Event()
        if running:
            self._start(list(self.states))

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        return [node.endpoints for node in self.network.nodes]

    def render(self, network: Network) -> None:
        self.calls.append("render")

    def acquire(self, progress: Progress) -> None:
        self.calls.append("acquire")

    async def start(self, network: Network, progress: Progress) -> bool:
        ran = await self.is_running()
        self.calls.append("start")
        self._start([name for name, state in self.states.items() if state == "stopped"])
        return not ran

    async def stop(self, progress: Progress) -> bool:
        ran = await self.is_running()
        self.calls.append("stop")
        self.put(dict.fromkeys(self.states, "stopped"))
        return ran

    async def discard(self, progress: Progress) -> None:
        self.calls.append("discard")

    async def is_running(self) -> bool:
        return any(state != "stopped" for state in self.states.values())

    async def look(self) -> list[NodeStatus]:
        return [self._status(node) for node in self.network.nodes]

    async def status(self, network: Network) -> list[NodeStatus]:
        return await self.look()

    async def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        while True:
            if not await self.is_running():
                raise NotRunningError("bank: not running", hint="start it: quorumkit up")
            self._change.clear()
            yield await self.look()
            self.when_watched()
            await self._change.wait()

    async def connect(self, node: Node) -> Rpc:
        if self.states[node.name] != "running" or node.name not in self.clients:
            raise RpcError(f"{node.name}: cannot be reached")
        return self.clients[node.name]()

    async def call(self, name: str, method: str, *params: Any) -> Any:
        self.calls.append((name, method, *params))
        if self.states[name] == "stopped":
            raise NotRunningError(f"{name}: not running")
        return self.answers[method](name, *params)

    async def start_nodes(self, names: Sequence[str]) -> None:
        self.calls.append(("start_nodes", *names))
        self._start(names)

    async def stop_nodes(self, names: Sequence[str]) -> None:
        self.calls.append(("stop_nodes", *names))
        self.put(dict.fromkeys(names, "stopped"))

    async def restart_nodes(self, names: Sequence[str]) -> None:
        self.calls.append(("restart_nodes", *names))

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command:
        return Command(["echo", *names, f"{follow=}", f"{lines=}"], Path())

    def console(self, node: Node, *, execute: str | None) -> Command:
        return Command(["echo", node.name, execute or "-"], Path())

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        return Command(list(arguments), Path(), {"QUORUMKIT_NODE": node.name})

    async def copy(self, name: str, path: str, to: Path) -> None:
        self.calls.append(("copy", name, path))
        to.touch()

    def exchange_host(self) -> ExchangeHost:
        raise UsageError("the identities of this network were generated together, not exchanged")

    def put(self, states: dict[str, State]) -> None:
        """Nodes come to these states, and whoever watches sees it."""
        self.states.update(states)
        self._change.set()

    def _start(self, names: Sequence[str]) -> None:
        self.put({name: self.becomes.get(name, "running") for name in names})

    def _status(self, node: Node) -> NodeStatus:
        status = stopped_status(self.network, node)
        status.state = self.states[node.name]
        status.error = self.errors.get(node.name)
        if status.started:
            status.peers, status.block, status.pid = status.expected_peers, 7, 100 + node.ordinal
        return status


class FakeIdentities:
    """See `Identities`; they are those of the provider's network."""

    def __init__(self, provider: FakeProvider, *, exchanged: bool = False) -> None:
        self.exchanged = exchanged
        self._provider = provider
        self.known = True
        """Whether the nodes have agreed on who they are."""

    def init(self, progress: Progress) -> Network | None:
        self._provider.calls.append("init")
        return None if self.exchanged else self._provider.network

    def prepare(self, progress: Progress) -> None:
        self._provider.calls.append("prepare")

    async def form(self, progress: Progress, timeout: float) -> Network:
        self._provider.calls.append("form")
        return self._provider.network

    async def learn(self) -> Network | None:
        return self._provider.network if self.known else None
