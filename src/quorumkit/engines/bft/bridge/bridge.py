"""The bridge of one node: CometBFT's application, which geth executes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorumkit.engines.bft.bridge import proposal
from quorumkit.engines.bft.bridge.application import Application
from quorumkit.engines.bft.bridge.block_store import CometBlockStore
from quorumkit.engines.bft.bridge.doorbell import Doorbell, Mempool, first_transaction
from quorumkit.engines.bft.bridge.execution import Execution
from quorumkit.engines.bft.bridge.remembered import REMEMBERED
from quorumkit.engines.bft.bridge.rules import Figures, Rules
from quorumkit.engines.bft.bridge.wire import Server
from quorumkit.engines.bft.paths import ABCI_SOCKET, GETH_IPC, RPC_SOCKET
from quorumkit.errors import QuorumkitError


@dataclass(frozen=True)
class BridgeSettings:
    """How a node's bridge works."""

    directory: Path
    """The node's; all sockets are in it."""
    period: float
    """Seconds from block to block, at least 1."""
    empty_blocks: bool
    """Off: a block comes only when there are transactions."""
    fee_recipient: str
    """Of the blocks that this node proposes."""
    fork: str
    """The newest one that is in force from block 0."""
    pruned: bool
    """Whether CometBFT drops old blocks."""
    members: Callable[[], frozenset[str]]
    """The CometBFT node ids that may connect."""
    free_gas: bool = True
    """Whether geth is to take transactions that pay nothing."""


async def serve(
    settings: BridgeSettings,
    *,
    say: Callable[[str, str], None],
    ready: Callable[[], None],
    publish: Callable[[str, Any], None] = lambda name, value: None,
    application: type[Application] = Application,
) -> None:
    """Until it is cancelled; CometBFT may connect once it is ready. `application` is another one where a test has it
    misbehave.

    Raises:
        QuorumkitError: the node cannot go on so; its processes are to be started again.
    """
    directory = settings.directory
    if settings.period < 1:
        raise QuorumkitError(f"consensus.period: {settings.period} s; blocks bear whole seconds, so at least 1")
    execution = Execution(
        directory / GETH_IPC,
        store=CometBlockStore(directory / RPC_SOCKET, proposal.decode),
        remembered=directory / REMEMBERED,
        fork=settings.fork,
        say=say,
        free_gas=settings.free_gas,
    )
    mempool = Mempool(directory / RPC_SOCKET)
    doorbell = Doorbell(
        pending=execution.pending,
        ring=mempool.put,
        transaction=lambda: first_transaction(directory / GETH_IPC, execution.pending),
    )

    def tell(figures: Figures) -> None:
        doorbell.decided(figures.height)
        for name, value in figures.as_mapping().items():
            publish(name, value)

    rules = Rules(settings.period, settings.empty_blocks, settings.free_gas)
    server: Server | None = None
    ringing: asyncio.Task[None] | None = None
    try:
        await execution.start()
        answers = application(
            execution,
            rules,
            fee_recipient=settings.fee_recipient,
            pruned=settings.pruned,
            members=settings.members,
            say=say,
            tell=tell,
        )
        server = Server(answers.handlers, say=say)
        await server.listen(directory / ABCI_SOCKET)
        ready()
        failing = asyncio.ensure_future(server.wait())
        waiting = {failing}
        if not settings.empty_blocks:
            ringing = asyncio.create_task(doorbell.run(), name="doorbell")
            waiting.add(ringing)
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        if server is not None:
            await server.close()
        await execution.close()
