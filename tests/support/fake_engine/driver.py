"""What speaks to the fake engine's client."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path

from quorumkit.engines.base import Care, Driver, Report, Standing
from quorumkit.record import NodeRecord
from quorumkit.rpc import IpcRpc, Rpc

ASK_EVERY = 0.02  # seconds


class FakeCare:
    def __init__(self, record: NodeRecord, report: Report) -> None:
        self._report = report
        self._peers = list(record.peers)

    def take(self, record: NodeRecord) -> None:
        self._peers = list(record.peers)

    async def attend(self, rpc: Rpc) -> None:
        self._report.see_first_head((await rpc.call("fake_status"))["block"], "0x0")
        self._report.account_opened()
        self._report.stand(Standing(validates=True, validators=1))
        while True:
            block = (await rpc.call("fake_status"))["block"]
            self._report.see_peers(len(self._peers))
            self._report.see_head(block, hex(block))
            await asyncio.sleep(ASK_EVERY)


class FakeDriver:
    async def connect(self, directory: Path, record: NodeRecord) -> Rpc:
        return await IpcRpc.connect(directory / "client.ipc", where=record.name)

    def care(self, directory: Path, record: NodeRecord, report: Report) -> Care:
        return FakeCare(record, report)

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        return str(await rpc.call("fake_admit"))


DRIVER: Driver = FakeDriver()
