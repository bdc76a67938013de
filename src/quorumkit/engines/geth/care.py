"""The care of a running geth, and of what was made from it: its heads and peers are followed, it is given its peers,
its account is opened, and it seals when it should."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, cast

from quorumkit.engines.base import Report
from quorumkit.engines.geth.following import follow_heads, follow_peers
from quorumkit.engines.geth.peering import Peering
from quorumkit.engines.geth.sealing import Sealing
from quorumkit.engines.geth.sealing_client import SealingClient
from quorumkit.errors import EngineError, RpcError
from quorumkit.identity.store import PASSWORD
from quorumkit.rpc import IpcRpc, Rpc

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

_AGAIN_AFTER = 1.0  # seconds


class GethCare:
    """See `Care`."""

    def __init__(self, client: SealingClient, directory: Path, record: NodeRecord, report: Report) -> None:
        self._client = client
        self._directory = directory
        self._record = record
        self._report = report
        self._peering = Peering(client, record, report.say)

    def take(self, record: NodeRecord) -> None:
        self._peering.take(record)

    async def attend(self, rpc: Rpc) -> None:
        ipc = cast("IpcRpc", rpc)
        sealing = Sealing(
            ipc, self._client, self._record, self._directory, self._report, open_account=self._open_account
        )
        tasks = [
            asyncio.create_task(follow_heads(ipc, self._report)),
            asyncio.create_task(follow_peers(ipc, self._report)),
            asyncio.create_task(sealing.run()),
            asyncio.create_task(self._peering.keep(ipc, sealing.may_have_peers)),
        ]
        try:
            # One that ends, because an answer took too long, is taken up again with the others.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _open_account(self, rpc: IpcRpc) -> None:
        """Opens the node's account; a client that refuses is ended, with its reason."""
        while rpc.is_open:
            try:
                password = (self._directory / PASSWORD).read_text(encoding="utf-8").strip()
                await self._client.open_account(rpc, self._record.identity.account, password)
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(_AGAIN_AFTER)
            except (EngineError, OSError, ValueError) as error:
                self._report.refuse(str(error))
                return
            else:
                self._report.account_opened()
                return
