"""The care of a node of geth and CometBFT: its heads, peers and part in consensus are followed, both are given their
peers, and figures of both are published."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from quorumkit.engines.base import Report
from quorumkit.engines.bft.comet_rpc import CometRpc
from quorumkit.engines.bft.dialing import Dialing
from quorumkit.engines.bft.paths import RPC_SOCKET
from quorumkit.engines.bft.progress import Progress
from quorumkit.engines.bft.seed import keep_suggesting_nothing
from quorumkit.engines.geth.following import follow_heads, follow_peers
from quorumkit.engines.geth.peering import Peering
from quorumkit.engines.geth.peers import GethPeers
from quorumkit.rpc import IpcRpc, Rpc
from quorumkit.rpc.base import expecting

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

_ACCOUNT_LOOK = 1.0
_POOL_LOOK = 5.0  # seconds

GETH, COMETBFT = "geth", "cometbft"


class BftCare:
    """See `Care`."""

    def __init__(self, directory: Path, record: NodeRecord, report: Report) -> None:
        self._record = record
        self._report = report
        peers = _Peers(report)
        comet = CometRpc(directory / RPC_SOCKET)
        self._geth_peers = _Counted(peers, GETH)
        self._peering = Peering(GethPeers(), record, report.say)
        self._dialing = Dialing(comet, record, see_peers=_Counted(peers, COMETBFT).see_peers, say=report.say)
        self._progress = Progress(comet, record, report)
        self._heads = _Heads(report, self._progress)

    def take(self, record: NodeRecord) -> None:
        self._record = record
        self._peering.take(record)
        self._dialing.take(record)
        self._progress.take(record)

    async def attend(self, rpc: Rpc) -> None:
        ipc = cast("IpcRpc", rpc)
        from_its_start = asyncio.Event()
        from_its_start.set()
        tasks = [
            asyncio.create_task(work)
            for work in (
                follow_heads(ipc, self._heads),
                follow_peers(ipc, self._geth_peers),
                self._peering.keep(ipc, from_its_start),
                self._dialing.keep(),
                self._progress.follow(),
                self._look_at_pool(ipc),
            )
        ]
        if self._record.free_gas:
            tasks.append(asyncio.create_task(keep_suggesting_nothing(ipc, self._record.chain_id)))
        opening = asyncio.create_task(self._account_opens(ipc))
        try:
            # One that ends, because an answer took too long, is taken up again with the others.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, opening):
                task.cancel()
            results = await asyncio.gather(*tasks, opening, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _account_opens(self, rpc: IpcRpc) -> None:
        """The signer is asked by geth: what it lists can sign. But a node whose CometBFT has not taken up its work yet
        is not in step, whatever blocks come: they are old ones."""
        await self._progress.is_known.wait()
        own = self._record.identity.account.lower()
        while rpc.is_open:
            accounts = await rpc.call("eth_accounts")
            with expecting("geth: eth_accounts"):
                if own in {account.lower() for account in accounts}:
                    self._report.account_opened()
                    return
            await asyncio.sleep(_ACCOUNT_LOOK)

    async def _look_at_pool(self, rpc: IpcRpc) -> None:
        while rpc.is_open:
            status = await rpc.call("txpool_status")
            with expecting("geth: txpool_status"):
                counts = {name: int(status[name], 16) for name in ("pending", "queued")}
            self._report.publish("pooled_transactions", counts)
            await asyncio.sleep(_POOL_LOOK)


class _Peers:
    """Of both layers. A node is connected to no more peers than on the one where they are fewer."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._counts = {GETH: 0, COMETBFT: 0}

    def see(self, layer: str, count: int) -> None:
        self._counts[layer] = count
        self._report.publish("layer_peers", dict(self._counts))
        self._report.see_peers(min(self._counts.values()))


class _Counted:
    """Those of one layer."""

    def __init__(self, peers: _Peers, layer: str) -> None:
        self._peers = peers
        self._layer = layer

    def see_peers(self, count: int) -> None:
        self._peers.see(self._layer, count)


class _Heads:
    """Reported on, with the time between them."""

    def __init__(self, report: Report, progress: Progress) -> None:
        self._report = report
        self._progress = progress
        self._last: float | None = None

    def see_first_head(self, number: int, block_hash: str) -> None:
        self._report.see_first_head(number, block_hash)

    def see_head(self, number: int, block_hash: str) -> None:
        now = time.monotonic()
        if self._last is not None:
            self._report.publish("block_interval_seconds", round(now - self._last, 3))
        self._last = now
        self._report.see_head(number, block_hash)
        self._progress.head_came()
