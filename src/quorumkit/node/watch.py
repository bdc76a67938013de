"""The care of a node's running processes: its driver, connected again and again for as long as they run."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

from quorumkit.engines import driver_of
from quorumkit.engines.base import Report
from quorumkit.errors import GenesisMismatchError, RpcError
from quorumkit.node.chain import Genesis, check_first_block
from quorumkit.record import NodeRecord

_AGAIN_AFTER = 1.0  # seconds


class Watch:
    """Of one start of a node."""

    def __init__(self, directory: Path, record: NodeRecord, genesis: Genesis, report: Report) -> None:
        self._directory = directory
        self._record = record
        self._genesis = genesis
        self._report = report
        self._driver = driver_of(record.engine.kind, record.consensus.kind)
        self._chain = record.recipe.chain
        self._care = self._driver.care(directory, record, report)

    def take(self, record: NodeRecord) -> None:
        """The node's files were written again: the running client is given the peers that it should have now."""
        self._care.take(record)

    async def run(self, ready: asyncio.Event) -> None:
        """From when the client is ready until this is cancelled; returns only once the client was refused."""
        await ready.wait()
        while True:
            with contextlib.suppress(RpcError):
                async with await self._driver.connect(self._directory, self._record) as rpc:
                    try:
                        await check_first_block(rpc, self._genesis, self._record.name, self._chain)
                    except GenesisMismatchError as error:
                        # Before it seals or sends anything.
                        self._report.refuse(f"{error.message} ({error.hint})")
                        return
                    await self._care.attend(rpc)
            # Only a client that closes a connection, or is too slow to answer, and lives comes here.
            await asyncio.sleep(_AGAIN_AFTER)
