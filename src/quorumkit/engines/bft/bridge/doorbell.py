"""Wakes CometBFT when blocks come on demand (`consensus.empty_blocks: false`).

Then CometBFT decides a height only when its mempool has something. Transactions are in geth's pool alone, so as long as
there are any, a doorbell is put into CometBFT's mempool: a height, nothing else, the same bytes from every node. It is
never in a block, and is refused, and so dropped, once that height is done.

While there is nothing to do, geth tells of the first transaction that comes; while there is, one look for each height
is enough.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import orjson

from quorumkit.errors import RpcError
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.sockets import short_socket_path

SIZE: Final = 8
_HEIGHTS: Final = 2
"""It rings for so many heights: the block that is asked for, and the one that CometBFT makes after each change of the
application hash anyway."""
_LATE = 1
"""Heights that a node may be behind the one that rang."""

_AGAIN = 1.0  # seconds after which it rings again for a height that does not come
_LOOK = 5.0  # seconds between two looks at a pool that tells nothing
_RETRY = 0.2  # seconds
_TIMEOUT = 5.0  # seconds for a request to CometBFT


def doorbell(height: int) -> bytes:
    """What is put into the mempool when `height` was decided last."""
    return (height + _HEIGHTS).to_bytes(SIZE, "big")


def is_doorbell(data: bytes, *, height: int) -> bool:
    """Whether a transaction of the mempool is one that still rings when `height` was decided last."""
    return len(data) == SIZE and height < int.from_bytes(data, "big") <= height + _HEIGHTS + _LATE


class Doorbell:
    """Of one node."""

    def __init__(
        self,
        *,
        pending: Callable[[], Awaitable[int]],
        ring: Callable[[bytes], Awaitable[None]],
        transaction: Callable[[], Awaitable[None]],
    ) -> None:
        """`pending`: how many transactions could go into a block. `ring` gives CometBFT a doorbell. `transaction`
        returns when there may be one, the ones included that came before it was asked. The last two raise an RpcError
        when they cannot."""
        self._pending = pending
        self._ring = ring
        self._transaction = transaction
        self._height = 0
        self._decided = asyncio.Event()

    def decided(self, height: int) -> None:
        """A height is done."""
        self._height = height
        self._decided.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            self._decided.clear()
            try:
                if await self._pending():
                    await self._ring(doorbell(self._height))
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_AGAIN):
                            await self._decided.wait()
                else:
                    await self._transaction()
            except RpcError:
                await asyncio.sleep(_RETRY)  # geth or CometBFT is on its way up or down; who runs them says so


async def first_transaction(ipc: Path, pending: Callable[[], Awaitable[int]]) -> None:
    """Returns when geth's pool has a transaction that could go into a block.

    Raises:
        RpcError: geth is gone.
    """
    # A connection for each wait: geth goes on telling of every transaction on one that has subscribed once.
    async with (
        await IpcRpc.connect(ipc, where="geth") as geth,
        contextlib.aclosing(geth.subscribe("newPendingTransactions", idle=_LOOK)) as told,
    ):
        following = asyncio.ensure_future(anext(told))
        try:
            while not await pending() and await asyncio.shield(following) is None:
                following = asyncio.ensure_future(anext(told))
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, RpcError, StopAsyncIteration):
                await following


class Mempool:
    """CometBFT's, over its RPC socket."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def put(self, data: bytes) -> None:
        """One that is there already is fine.

        Raises:
            RpcError: CometBFT is not there.
        """
        import aiohttp

        request = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "broadcast_tx_async",
            "params": {"tx": base64.b64encode(data).decode()},
        }
        with short_socket_path(self._socket) as name:
            try:
                async with (
                    aiohttp.ClientSession(
                        connector=aiohttp.UnixConnector(path=name), timeout=aiohttp.ClientTimeout(total=_TIMEOUT)
                    ) as session,
                    session.post("http://cometbft/", data=orjson.dumps(request)) as response,
                ):
                    await response.read()
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                raise RpcError(f"CometBFT: {error or type(error).__name__}") from None
