"""A node of geth and CometBFT while it runs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from quorumkit.engines.base import Care, Driver, Report
from quorumkit.engines.bft.care import BftCare
from quorumkit.engines.geth.recipe import GethRecipe
from quorumkit.rpc import IpcRpc

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc


class BftDriver:
    """See `Driver`. What agrees on blocks and what signs run beside geth; so nothing has to be begun here."""

    async def connect(self, directory: Path, record: NodeRecord) -> IpcRpc:
        return await IpcRpc.connect(directory / GethRecipe.ipc, where=record.name)

    def care(self, directory: Path, record: NodeRecord, report: Report) -> Care:
        return BftCare(directory, record, report)

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        raise NotImplementedError("who may connect stands in the members' files")


DRIVER: Driver = BftDriver()
