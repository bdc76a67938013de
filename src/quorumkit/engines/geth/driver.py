"""geth while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from quorumkit.consensus import consensus_of
from quorumkit.engines.base import Care, Driver, Report, Standing
from quorumkit.engines.geth.branches import BranchSearch
from quorumkit.engines.geth.care import GethCare
from quorumkit.engines.geth.peers import GethPeers
from quorumkit.engines.geth.recipe import GethRecipe
from quorumkit.errors import EngineError, RpcError
from quorumkit.rpc import IpcRpc

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc

_SOON = 0.005  # seconds

_FETCHES_WITHIN = 3.0
"""Seconds: from its first peer on it fetches at once (`GethRecipe._sync_settings`)."""


class GethDriver(GethPeers):
    """Over its unix socket; see `Driver` and `SealingClient`."""

    async def connect(self, directory: Path, record: NodeRecord) -> IpcRpc:
        return await IpcRpc.connect(directory / GethRecipe.ipc, where=record.name)

    def care(self, directory: Path, record: NodeRecord, report: Report) -> Care:
        return GethCare(self, directory, record, report)

    async def accept_blocks(self, rpc: Rpc) -> None:
        """A geth with a new chain drops the blocks that others announce until it has synced once or begins to seal
        (eth/handler.go, enableSyncedFeatures). Two that drop each other's first block and seal their own never meet:
        each waits for the other to seal the second. So it begins to seal at once, with its account still closed."""
        await rpc.call("miner_start")

    async def open_account(self, rpc: Rpc, account: str, password: str) -> None:
        try:
            await rpc.call("personal_unlockAccount", account, password, 0)
        except RpcError as error:
            if "could not decrypt key" not in error.message:
                raise
            raise EngineError(error.message, hint="put the node's `password` file back from a backup") from None

    async def standing(self, rpc: Rpc, record: NodeRecord) -> Standing:
        return standing_among(record, await rpc.call("clique_getSigners"))

    async def is_level(self, rpc: Rpc) -> bool:
        """geth tells nobody what its peers have (eth/peer.go), but it turns to one that has more as soon as that one is
        connected: from when it has that one's head until all of it is in, `eth_syncing` names a higher block.
        That it still has to index what it has, which it does for long with a new chain, is another matter."""
        if await _any_handshake(rpc):
            return False
        syncing = await rpc.call("eth_syncing")
        return not syncing or int(syncing["currentBlock"], 16) >= int(syncing["highestBlock"], 16)

    def branch_search(self, rpc: Rpc, record: NodeRecord, directory: Path) -> BranchSearch | None:
        return BranchSearch(rpc, self, record, directory, fetches_within=_FETCHES_WITHIN)

    async def seal(self, rpc: Rpc, record: NodeRecord) -> None:
        """What it could not sign before it tries again only after another's block, or when it is started anew: a start
        is ignored until a stop has come through (miner/miner.go), and so is the same block again (miner/worker.go,
        taskLoop), from which other extra data tells it apart.

        A peer counts as connected a moment before it hears of blocks, and what is sealed in between never reaches it.
        """
        while await _any_handshake(rpc):  # noqa: ASYNC110
            await asyncio.sleep(_SOON)
        await self.stop_sealing(rpc)
        await rpc.call("miner_setExtra", "quorumkit")
        await rpc.call("miner_start")

    async def stop_sealing(self, rpc: Rpc) -> None:
        await rpc.call("miner_stop")
        while await rpc.call("eth_mining"):  # noqa: ASYNC110
            await asyncio.sleep(_SOON)

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        raise NotImplementedError("no node of geth's needs it")

    async def set_up(self, rpc: Rpc, record: NodeRecord) -> None:
        """With free gas it mines what pays nothing only when it is told so while it runs: on its command line a price
        of 0 counts as none (eth/backend.go, "Sanitizing invalid miner gas price")."""
        if record.free_gas:
            await rpc.call("miner_setGasPrice", "0x0")

    def seal_method(self, record: NodeRecord) -> str | None:
        return "miner_start"


def standing_among(record: NodeRecord, validators: list[str]) -> Standing:
    """Of a node among those validators' addresses."""
    own = consensus_of(record.consensus.kind).validator_address(record.identity)
    return Standing(own.lower() in {address.lower() for address in validators}, len(validators))


async def _any_handshake(rpc: Rpc) -> bool:
    """Whether a peer counts as connected that does not speak the eth protocol yet."""
    return any(peer["protocols"].get("eth") == "handshake" for peer in await rpc.call("admin_peers"))


DRIVER: Driver = GethDriver()
