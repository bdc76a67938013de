"""Branches of a Clique chain that keep each other from going on, and how a validator leaves the one that loses.

A signer may seal one of any floor(N/2)+1 blocks in a row (EIP-225). Where the validators part into groups of no more
than half of them, on branches of equal total difficulty, each group seals at most a block each and then waits for a
signer of another. Those are connected, and yet never come: a client looks at another's branch only when it is heavier
(eth/sync.go, nextSyncOp), and takes a block of equal weight at most once, by a throw of a coin, when it first comes
(core/forkchoice.go, ReorgNeeded). So neither waiting nor starting anew helps.

All share one rule: the heavier branch wins, and of equal ones that whose head has the lower hash. A client tells
nobody what heads its peers have. But one that is a block behind fetches what a peer has: so a validator goes back by
one block, connects to a peer anew, and keeps that one's branch if it wins over its own. If not it puts its own blocks
back, which are on disk meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quorumkit.addresses import Enode
from quorumkit.errors import RpcError

if TYPE_CHECKING:
    from quorumkit.engines.geth.sealing_client import SealingClient
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc

KEPT_BLOCKS = Path("data/own-branch.rlp")
"""The blocks of a node that looks at others' branches, below its directory; gone when it has decided."""

CONNECTED_WITHIN = 10.0
"""Seconds that a peer gets to connect."""

SETTLED_WITHIN = 30.0
"""Seconds that a peer gets to give what it has."""

_SOON = 0.05  # seconds
_SETTLED_FOR = 0.3  # seconds


@dataclass(frozen=True)
class Head:
    """The newest block of a branch."""

    number: int
    hash: str
    difficulty: int
    """The branch's total difficulty."""

    def wins_over(self, other: Head) -> bool:
        """Heavier, or as heavy and of a lower hash."""
        return (-self.difficulty, self.hash.lower()) < (-other.difficulty, other.hash.lower())


class BranchSearch:
    """Of one validator, over one connection to its client."""

    def __init__(
        self, rpc: Rpc, client: SealingClient, record: NodeRecord, directory: Path, *, fetches_within: float
    ) -> None:
        """`fetches_within` are the seconds in which the client turns to a peer that has more."""
        self._rpc = rpc
        self._client = client
        self._record = record
        self._kept = directory / KEPT_BLOCKS
        self._fetches_within = fetches_within

    async def must_wait_for_others(self) -> bool:
        """Whether the node has sealed one of the last blocks of its branch, so that it cannot seal the next.

        Raises:
            RpcError: the client cannot be asked.
        """
        recents = (await self._rpc.call("clique_getSnapshot"))["recents"]
        return self._record.identity.account.lower() in {signer.lower() for signer in recents.values()}

    async def turn(self) -> int:
        """The node's place among the validators, who look one after the other, so that never all leave their branches.

        Raises:
            RpcError: the client cannot be asked.
        """
        signers = sorted(signer.lower() for signer in await self._rpc.call("clique_getSigners"))
        own = self._record.identity.account.lower()
        return signers.index(own) if own in signers else len(signers)

    async def peers(self) -> list[str]:
        """The enode URLs of the static peers that the client is connected to.

        Raises:
            RpcError: the client cannot be asked.
        """
        connected = await self._client.connected_keys(self._rpc)
        return [str(peer.enode) for peer in self._record.peers if peer.enode.key in connected]

    async def search(self, peer: str) -> Head | None:
        """The branch that the node went over to, if that peer has one that wins. Its client must not seal meanwhile.

        Raises:
            RpcError: the client is slow, or gone; `finish` makes it good.
        """
        own = await self._head()
        if own.number == 0:
            return None
        first = max(1, own.number - await self._depth())
        transactions = await self._transactions(first, own.number)
        self._kept.unlink(missing_ok=True)  # the client overwrites nothing
        await self._rpc.call("admin_exportChain", str(KEPT_BLOCKS), first, own.number)
        await self._go_back_to(own.number - 1)
        found = await self._head_from(peer)
        if found.wins_over(own):
            self._kept.unlink(missing_ok=True)
            await self._send_again(transactions)
            return found
        if found.hash != own.hash:
            await self._go_back_to(first - 1)
        return None

    async def finish(self) -> None:
        """Puts the node's own blocks back, if it did not leave them. Interrupted anywhere, the next call goes on, in
        another run of the client too.

        Raises:
            RpcError: the client is slow, or gone.
        """
        if not self._kept.exists():
            return
        try:
            await self._rpc.call("admin_importChain", str(KEPT_BLOCKS))
        except RpcError as error:
            if "failed to" not in error.message:  # else the file is cut short, and its peers have the rest
                raise
        self._kept.unlink(missing_ok=True)

    @property
    def is_unfinished(self) -> bool:
        """Whether a search was interrupted."""
        return self._kept.exists()

    async def _head(self) -> Head:
        block = await self._rpc.call("eth_getBlockByNumber", "latest", False)
        return Head(int(block["number"], 16), block["hash"], int(block["totalDifficulty"], 16))

    async def _depth(self) -> int:
        """Blocks in which branches can differ that keep each other from going on: one for each signer of a branch."""
        return len(await self._rpc.call("clique_getSigners")) // 2 + 1

    async def _go_back_to(self, number: int) -> None:
        if (await self._head()).number > number:
            await self._rpc.call("debug_setHead", hex(number))

    async def _head_from(self, peer: str) -> Head:
        """The head that the client has once it has connected to that peer anew, and has fetched what that one has: what
        it knows of one that has been there for longer is old."""
        before = await self._head()
        await self._rpc.call("admin_removePeer", peer)
        await self._rpc.call("admin_addPeer", peer)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECTED_WITHIN):
                while not await self._is_connected(peer):  # noqa: ASYNC110
                    await asyncio.sleep(_SOON)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._fetches_within):
                while (await self._head()).hash == before.hash:  # noqa: ASYNC110
                    await asyncio.sleep(_SOON)
        return await self._settled()

    async def _is_connected(self, peer: str) -> bool:
        return Enode.key_in(peer) in await self._client.connected_keys(self._rpc)

    async def _settled(self) -> Head:
        """The head once nothing more comes, or after a while all the same."""
        head = await self._head()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_WITHIN):
                while True:
                    await asyncio.sleep(_SETTLED_FOR)
                    before, head = head, await self._head()
                    if head == before and await self._client.is_level(self._rpc):
                        break
        return head

    async def _transactions(self, first: int, last: int) -> list[str]:
        """The raw transactions of the node's own blocks."""
        found = []
        for number in range(first, last + 1):
            block = await self._rpc.call("eth_getBlockByNumber", hex(number), False)
            found += [await self._rpc.call("eth_getRawTransactionByHash", each) for each in block["transactions"]]
        return found

    async def _send_again(self, transactions: list[str]) -> None:
        """A client that goes back forgets the transactions of the blocks it leaves; those that the branch it goes over
        to holds too are refused."""
        for raw in transactions:
            with contextlib.suppress(RpcError):
                await self._rpc.call("eth_sendRawTransaction", raw)
