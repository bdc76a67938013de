"""What every provider of places where nodes run can do."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from quorumkit.node.status import NodeStatus
from quorumkit.plan import Network, Node, NodeEndpoints
from quorumkit.progress import Progress
from quorumkit.providers.disks import Disks
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


def node_environment(node: Node, *, rpc_url: str, ipc: str) -> dict[str, str]:
    """What a command that `Provider.execute` runs finds in its environment. Where JSON-RPC and the client's socket are
    is said as it is where the command runs."""
    return {
        "QUORUMKIT_NODE": node.name,
        "QUORUMKIT_ENODE": str(node.enode),
        "QUORUMKIT_ACCOUNT": node.identity.account,
        "QUORUMKIT_RPC_URL": rpc_url,
        "QUORUMKIT_IPC": ipc,
    }


class Provider(Protocol):
    """One network, where it runs. What a provider cannot do it refuses with a UsageError; it lacks no method."""

    def addresses(self, spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
        """Every node's endpoints, by ordinal; those in `present` are kept where they can be.

        Raises:
            PortError: they cannot be had.
        """
        ...

    def render(self, network: Network) -> None:
        """Writes the files that this provider alone needs."""
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
        """After `stop`: removes what the provider keeps of the network outside its directory, for good."""
        ...

    async def is_running(self) -> bool: ...

    async def look(self) -> list[NodeStatus]:
        """Every node as it is now, by ordinal, whether it is known here who they are or not."""
        ...

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

    async def call(self, name: str, method: str, *params: Any) -> Any:
        """Asks the node program that carries the node of that name (node/control.py).

        Raises:
            NotRunningError, RpcError: it does not run, cannot be reached, or refuses.
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

    async def copy(self, name: str, path: str, to: Path) -> None:
        """Copies a file out of the directory of the node of that name, however large it is; `path` is relative to that
        directory. `to` is a new file that only its owner reads, and is there once it is whole.

        Raises:
            UsageError: the path leads out of the node's directory.
            NodeError: there is no such file, or it cannot be read now.
        """
        ...

    def exchange_host(self) -> ExchangeHost:
        """Where nodes that make their own identities are started.

        Raises:
            UsageError: those of this network do not.
        """
        ...


@dataclass(frozen=True)
class ExchangeWords:
    """What things are called in messages."""

    unit: str
    """What a node runs as: `container`."""
    see: str
    """The command that shows how nodes are."""


class ExchangeHost(Protocol):
    """What differs from provider to provider where nodes make their own identities (identities/exchanged.py)."""

    words: ExchangeWords
    look_every: float
    """Seconds between two looks at the nodes."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Keeps other commands from starting a network of this name meanwhile."""
        ...

    async def find_disks(self) -> Disks:
        """What there is before anything is started.

        Raises:
            NodeError: all known nodes' disks are gone.
            RuntimeUnavailableError: what has this network's name is another's.
        """
        ...

    def check_beforehand(self) -> None:
        """Raises:
        UsageError: nothing can be written before the nodes start.
        """
        ...

    def write(self, disks: Disks | None) -> None:
        """Writes what the nodes start from, under the directory's lock; without `disks` as well as can be told from
        the directory alone."""
        ...

    async def start_exchange(self, progress: Progress) -> None:
        """Starts every node that does not run, and returns without waiting for them."""
        ...

    async def reported(self) -> list[NodeStatus]:
        """Every node as it is now, by ordinal; whose they are was looked at before."""
        ...

    async def check_alive(self, statuses: Sequence[NodeStatus]) -> None:
        """Raises:
        NodeError, NotRunningError: what was started has ended.
        """
        ...

    async def why_none(self) -> str:
        """Why no node could be started at all, for the end of a message; empty where that is not known."""
        ...

    async def agreed_endpoints(self) -> list[NodeEndpoints] | None:
        """Every node's endpoints, by ordinal; None where the nodes' own directories are here, and their records with
        them."""
        ...

    async def adopt(self) -> None:
        """Marks as this network's what its nodes stand on, now that they are known to be its own."""
        ...

    async def undo(self, progress: Progress) -> None:
        """Stops what `start_exchange` started; disks stay."""
        ...
