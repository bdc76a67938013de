"""When a node seals: while its address is in the validator set, and once it has what its peers have."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from quorumkit.consensus import consensus_of
from quorumkit.engines.base import Report, Standing
from quorumkit.engines.geth.sealing_client import SealingClient
from quorumkit.engines.geth.splits import SplitWatch
from quorumkit.errors import RpcError
from quorumkit.rpc import IpcRpc

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

SEAL_ANYWAY_AFTER = 3.0
"""Seconds after which a validator seals with a quorum of its peers, where not all have come."""

ACCOUNT_OPEN_WITHIN = 10.0
"""Seconds that a validator waits for its account before it seals all the same."""

LEVEL_FOR = 0.3
"""Seconds that a client must have had nothing to fetch before it counts as level with its peers: geth turns to what a
new peer has a moment after that one counts as connected."""

LEVEL_WITHIN = 30.0
"""Seconds without a new block after which a validator seals although its client says that it lags: a peer that claims
blocks and gives none must not keep it from sealing."""

LOOK_EVERY = 1.0
"""Seconds between two looks at who the validators are, at least."""

LOOK_ANYWAY_AFTER = 5.0
"""Seconds without a new block after which they are looked at all the same."""

_SOON = 0.05  # seconds


class Sealing:
    """Of one connection to a running client."""

    def __init__(
        self, rpc: IpcRpc, client: SealingClient, record: NodeRecord, directory: Path, report: Report,
        *, open_account: Callable[[IpcRpc], Awaitable[None]],
    ) -> None:  # fmt: skip
        self._rpc = rpc
        self._client = client
        self._record = record
        self._report = report
        self._open_account = open_account
        self._seals = False
        search = client.branch_search(rpc, record, directory)
        self._splits: SplitWatch | None = None
        if search is not None:
            self._splits = SplitWatch(search, report, stop_sealing=self._stop, seal=self._begin)
        self.may_have_peers = asyncio.Event()
        """Set once the client may be given its peers, where it is not to know them before it seals."""

    async def run(self) -> None:
        """Follows the validator set for as long as the connection is open: a node that was voted in seals, and one that
        was voted out stops, whenever that happened."""
        await self._insist(lambda: self._client.set_up(self._rpc, self._record))
        if self._splits is not None:
            await self._insist(self._splits.finish)
        standing = await self._ask()
        if self._client.seals_before_peers(self._record):
            if standing.validates:
                await self._insist(self._begin)
            self.may_have_peers.set()
            await self._open_account(self._rpc)
        else:
            self.may_have_peers.set()
            if standing.validates and self._client.seal_method(self._record) is not None:
                await self._seal_with_peers(standing)
            else:
                await self._open_account(self._rpc)
        while self._rpc.is_open:
            standing = await self._ask()
            if standing.removed:
                await self._rpc.closed()  # it stays so
                return
            with contextlib.suppress(RpcError):  # tried again at the next look
                await self._follow(standing)
                if self._splits is not None and self._seals:
                    await self._splits.look(standing.validators, self._quorum(standing) - 1)
            await asyncio.sleep(LOOK_EVERY)
            if not self._record.consensus.blocks_on_demand:
                await self._report.next_head(LOOK_ANYWAY_AFTER - LOOK_EVERY)

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Until the client has taken it."""
        while self._rpc.is_open:
            try:
                await step()
            except RpcError:  # it is slow, or gone
                await asyncio.sleep(1)
            else:
                return

    async def _ask(self) -> Standing:
        """The node's part in making blocks; asked for as long as it takes."""
        while True:
            try:
                standing = await self._client.standing(self._rpc, self._record)
            except RpcError:  # slow, or gone: then this task is cancelled
                if self._rpc.is_open:
                    self._report.silent()
                await asyncio.sleep(1)
            else:
                self._report.stand(standing)
                return standing

    async def _follow(self, standing: Standing) -> None:
        if self._client.seal_method(self._record) is None or standing.validates == self._seals:
            return
        if standing.validates:
            if not self._client.seals_before_peers(self._record):
                await self._become_level()
            await self._begin()
            self._report.say("INFO", "it is a validator now, and seals")
        else:
            await self._stop()
            self._report.say("INFO", "it is no validator any more, and stops sealing")

    async def _begin(self) -> None:
        await self._client.seal(self._rpc, self._record)
        self._seals = True

    async def _stop(self) -> None:
        await self._client.stop_sealing(self._rpc)
        self._seals = False

    def _quorum(self, standing: Standing) -> int:
        return consensus_of(self._record.consensus.kind).quorum(standing.validators)

    async def _seal_with_peers(self, standing: Standing) -> None:
        """Makes a validator seal once it is connected, to all its peers, or after a while to enough for a quorum, and
        has what they have.

        One that seals alone, or on an old head, makes a branch of its own. That costs it 10 s and more to leave for the
        others', and where each branch has half of the validators neither goes on. Before it seals it takes the others'
        blocks, and its account stays closed.
        """
        with contextlib.suppress(RpcError):
            await self._client.accept_blocks(self._rpc)
        everyone = self._report.expected_peers
        enough = min(self._quorum(standing) - 1, (everyone + 1) // 2)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SEAL_ANYWAY_AFTER):
                await self._report.peers_reach(everyone)
        await self._report.peers_reach(enough)
        await self._become_level()
        await self._open_account(self._rpc)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACCOUNT_OPEN_WITHIN):
                await self._account_opens()
        if (await self._ask()).validates:
            with contextlib.suppress(RpcError):  # the next look tries again
                await self._begin()

    async def _become_level(self) -> None:
        """Returns when the client has had nothing to fetch for a moment, or gets nothing although there is."""
        loop = asyncio.get_running_loop()
        head, changed = self._report.head, loop.time()
        level_since: float | None = None
        while self._rpc.is_open:
            with contextlib.suppress(RpcError):
                level = await self._client.is_level(self._rpc)
                now = loop.time()
                if head != self._report.head:
                    head, changed = self._report.head, now
                level_since = (level_since or now) if level else None
                if level_since is not None and now - level_since >= LEVEL_FOR:
                    return
                if now - changed >= LEVEL_WITHIN:
                    self._report.say(
                        "WARN", f"it seals although it lags behind its peers: nothing came for {LEVEL_WITHIN:g} s"
                    )
                    return
            await asyncio.sleep(_SOON)

    async def _account_opens(self) -> None:
        """Returns when the client can sign with its account, which it opens a moment after its socket.

        A validator that seals before fails at its first block and waits for another's to try again: for ever, where it
        is the only one.
        """
        while True:
            try:
                await self._rpc.call("eth_sign", self._record.identity.account, "0x00")
            except RpcError as error:
                if "authentication needed" not in error.message:
                    return
            else:
                return
            await asyncio.sleep(0.02)
