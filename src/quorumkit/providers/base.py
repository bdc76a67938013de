"""What every runtime answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from quorumkit.consensus import address_to_vote_for
from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.rpc import Rpc
from quorumkit.spec import NetworkSpec


@dataclass(frozen=True)
class Command:
    """A command for the person's terminal: it takes the place of ours."""

    arguments: list[str]
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    """On top of the person's own."""
    failure: str | None = None
    """A line of its output that says that it failed, though it exits with 0; not for the person."""


class Runtime(Protocol):
    """One network, where it runs."""

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        """Every node's endpoints, by ordinal; those in `present` are kept where they can be.

        Raises:
            PortError: they cannot be had.
        """
        ...

    def render(self, network: Network) -> None:
        """Writes the files that this runtime alone needs."""
        ...

    def acquire(self, progress: Progress) -> None:
        """Gets what the nodes run: a client binary, an image. May take minutes, once; not asynchronous, so
        that Ctrl-C ends it at once.

        Raises:
            EngineError: it cannot be had.
        """
        ...

    async def start(self, network: Network, progress: Progress) -> bool:
        """Starts every node that does not run, and returns without waiting for them. Whether this call started the
        network, or some of it ran already."""
        ...

    async def stop(self, progress: Progress) -> bool:
        """Stops everything and returns when nothing of it is left. Whether anything ran."""
        ...

    async def discard(self, progress: Progress) -> None:
        """After `stop`: removes what the runtime keeps of the network outside its directory, for good."""
        ...

    async def is_running(self) -> bool: ...

    async def status(self, network: Network) -> list[NodeStatus]:
        """Every node as it is now, by ordinal."""
        ...

    def watch(self, network: Network) -> AsyncGenerator[list[NodeStatus]]:
        """Every node as it is now, and again at each change."""
        ...

    async def connect(self, node: Node) -> Rpc:
        """JSON-RPC to a node's client.

        Raises:
            RpcError: it cannot be reached.
        """
        ...

    async def start_nodes(self, names: Sequence[str]) -> None: ...

    async def stop_nodes(self, names: Sequence[str]) -> None: ...

    async def restart_nodes(self, names: Sequence[str]) -> None: ...

    def logs(self, names: Sequence[str], *, follow: bool, lines: int) -> Command: ...

    def console(self, node: Node, *, execute: str | None) -> Command: ...

    def execute(self, node: Node, arguments: Sequence[str]) -> Command:
        """Runs a command where the node runs."""
        ...


@runtime_checkable
class FormingRuntime(Runtime, Protocol):
    """A runtime whose nodes make their own identities: there is a network only once they run and have agreed."""

    async def form(self, progress: Progress, timeout: float) -> Network:
        """Starts what does not run, and returns the network once all have agreed on it.

        Raises:
            NodeError: a node cannot run; the message says why.
            WaitTimeoutError: they did not agree in time; the message says who waits for whom.
        """
        ...

    async def look(self) -> list[NodeStatus]:
        """Every node as it is now, by ordinal, whether there is a network yet or not."""
        ...

    async def learn(self) -> Network | None:
        """Writes down who the nodes are, as they tell it now; None where not all of them do.

        So a network that was started otherwise, by `docker compose up -d` say, is known here too.
        """
        ...


@runtime_checkable
class PreparedRuntime(FormingRuntime, Protocol):
    """One that has files of its own to start from, without the nodes' identities."""

    def prepare(self) -> list[NodeEndpoints]:
        """Writes them; returns every node's endpoints, by ordinal."""
        ...


@runtime_checkable
class AdmittingRuntime(Runtime, Protocol):
    """A runtime whose running members can take in nodes that its commands made."""

    async def call_program(self, node: Node, method: str, *params: Any) -> Any:
        """Asks the node program that carries the node (node/control.py).

        Raises:
            NotRunningError, RpcError: it does not run, cannot be reached, or refuses.
        """
        ...


def stopped_status(network: Network, node: Node) -> NodeStatus:
    """The status of a node that nothing runs."""
    return NodeStatus(
        name=node.name,
        ordinal=node.ordinal,
        role=node.role,
        expected_peers=len(network.peers_of(node)),
        rpc_url=node.endpoints.rpc_url,
        enode=node.enode,
        account=node.identity.account,
        validator_address=address_to_vote_for(network.spec.consensus.kind, node.identity),
        tm_key=node.identity.tm_key,
    )
