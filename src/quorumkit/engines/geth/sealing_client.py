"""What sealing, peers and branches take of a client."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from quorumkit.engines.base import Standing

if TYPE_CHECKING:
    from quorumkit.engines.geth.branches import BranchSearch
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc


class PeeringClient(Protocol):
    """What can be asked of a running client about its peers."""

    def seals_before_peers(self, record: NodeRecord) -> bool:
        """Whether the client has no peers until it is given them (`add_peer`), which must be after sealing began; else
        it has them from its start, and seals once it is connected."""
        ...

    async def connected_keys(self, rpc: Rpc) -> frozenset[str]:
        """The enode keys of the peers that the running client is connected to.

        Raises:
            RpcError: it cannot be asked.
        """
        ...

    async def add_peer(self, rpc: Rpc, enode: str) -> None:
        """Has the running client dial that static peer, and let it in.

        Raises:
            RpcError: it refuses, or does not answer.
        """
        ...

    async def drop_peer(self, rpc: Rpc, enode: str) -> None:
        """Has the running client forget that static peer, and let it in no more; a connection to it ends.

        Raises:
            RpcError: it refuses, or does not answer.
        """
        ...


class SealingClient(PeeringClient, Protocol):
    """What can be asked of a running client that seals only when it is told to, as geth and what was made from it."""

    async def set_up(self, rpc: Rpc, record: NodeRecord) -> None:
        """Tells a client that has just started what its command line and files cannot; asking twice does no harm.

        Raises:
            RpcError: it refuses, or does not answer.
        """
        ...

    def seal_method(self, record: NodeRecord) -> str | None:
        """The JSON-RPC method that makes a validator seal; None where it does so by itself."""
        ...

    async def accept_blocks(self, rpc: Rpc) -> None:
        """Has a validator's client take the others' blocks from now on, before it seals any itself.

        Raises:
            RpcError: it refuses, or does not answer.
        """
        ...

    async def open_account(self, rpc: Rpc, account: str, password: str) -> None:
        """Lets the running client sign with the node's account, where its command line did not do so.

        Raises:
            EngineError: the password is wrong.
            RpcError: it refuses, or does not answer.
        """
        ...

    async def standing(self, rpc: Rpc, record: NodeRecord) -> Standing:
        """The node's part in making blocks, now.

        Raises:
            RpcError: the client cannot be asked.
        """
        ...

    async def is_level(self, rpc: Rpc) -> bool:
        """Whether the client has every block that the peers it is connected to had when they came, as far as it knows.

        Raises:
            RpcError: it cannot be asked.
        """
        ...

    def branch_search(self, rpc: Rpc, record: NodeRecord, directory: Path) -> BranchSearch | None:
        """How a validator leaves a branch that loses; None where the consensus kind has no branches."""
        ...

    async def seal(self, rpc: Rpc, record: NodeRecord) -> None:
        """Makes a validator's client seal.

        Raises:
            RpcError: it refuses, or does not answer.
        """
        ...

    async def stop_sealing(self, rpc: Rpc) -> None:
        """Makes the client seal no more; it goes on following.

        Raises:
            RpcError: it refuses, or does not answer.
        """
        ...
