"""What a running client tells by its subscriptions: new heads, and how many peers there are."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from quorumkit.errors import RpcError
from quorumkit.rpc import IpcRpc

SHORTEST_PEER_PAUSE = 0.2
LONGEST_PEER_PAUSE = 15.0
"""Seconds between two counts of the peers without an event."""


class Heads(Protocol):
    """The part of a `Report` that takes heads."""

    def see_first_head(self, number: int, block_hash: str) -> None: ...

    def see_head(self, number: int, block_hash: str) -> None: ...


class PeerCount(Protocol):
    """The part of a `Report` that takes how many peers there are."""

    def see_peers(self, count: int) -> None: ...


async def follow_heads(rpc: IpcRpc, report: Heads) -> None:
    """Takes every new head; returns when the connection is gone."""
    with contextlib.suppress(RpcError, ValueError, KeyError, TypeError):
        async with contextlib.aclosing(rpc.subscribe("newHeads")) as heads:
            latest = await rpc.call("eth_getBlockByNumber", "latest", False)
            report.see_first_head(int(latest["number"], 16), str(latest["hash"]))
            async for head in heads:
                report.see_head(int(head["number"], 16), str(head["hash"]))


async def follow_peers(rpc: IpcRpc, report: PeerCount) -> None:
    """Counts peers at each event, and now and then without one; returns when the connection is gone.

    geth answers a subscription a moment before it takes effect (node/api.go, PeerEvents), and the first peers come in
    that moment.
    """
    news = asyncio.Event()
    listener = asyncio.create_task(_listen_for_peers(rpc, news))
    pause = SHORTEST_PEER_PAUSE
    try:
        while not listener.done():
            news.clear()
            report.see_peers(int(await rpc.call("net_peerCount"), 16))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await news.wait()
            pause = min(pause * 2, LONGEST_PEER_PAUSE)
    except (RpcError, ValueError, TypeError):
        pass  # the connection is gone, or will be
    finally:
        listener.cancel()


async def _listen_for_peers(rpc: IpcRpc, news: asyncio.Event) -> None:
    try:
        async with contextlib.aclosing(rpc.subscribe("peerEvents", namespace="admin")) as events:
            async for _ in events:
                news.set()
    except RpcError:
        news.set()
