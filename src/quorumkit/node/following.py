"""What a running client's blocks, peers and part in consensus amount to: the node's state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from quorumkit.engines.base import Standing
from quorumkit.errors import RpcError
from quorumkit.node.status import NodeStatus, State
from quorumkit.record import NodeRecord
from quorumkit.rpc import IpcRpc

SHORTEST_PEER_PAUSE = 0.2
LONGEST_PEER_PAUSE = 15.0
"""Seconds between two counts of the peers without an event."""


def stall_after(period: int) -> float:
    """Seconds without a block before a node counts as stalled: validators that are down cost some periods each."""
    return 10.0 + 5.0 * period


class Following:
    """Follows one client at a time: `begin` when one starts, `forget` when it has ended."""

    def __init__(self, status: NodeStatus, set_state: Callable[[State, str | None], None]) -> None:
        self._status = status
        self._set_state = set_state
        self._record: NodeRecord | None = None
        self._standing: Standing | None = None
        self._is_silent = False
        self._first_block: int | None = None
        self._highest = -1
        self._account_open = False
        self._was_ready = False
        self._is_stalled = False
        self._is_held = False
        self._stall: asyncio.TimerHandle | None = None
        self._peers_changed = asyncio.Event()
        self._head_changed = asyncio.Event()

    def begin(self, record: NodeRecord) -> None:
        """A client is up."""
        self._record = record

    def forget(self) -> None:
        """The client has ended."""
        self._record = self._standing = self._first_block = None
        self._highest = -1
        self._account_open = self._was_ready = self._is_stalled = self._is_silent = False
        if self._stall is not None:
            self._stall.cancel()
        status = self._status
        status.pid = status.peers = status.block = status.block_hash = None

    @property
    def was_ready(self) -> bool:
        """Whether this client was in step with its peers at some time."""
        return self._was_ready

    @property
    def is_stalled(self) -> bool:
        """Whether no block came for too long."""
        return self._is_stalled

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        """While the node looks at other branches: then its head moves, and that is no progress."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def account_opened(self) -> None:
        """The client can sign."""
        self._account_open = True
        self._reckon()

    def stand(self, standing: Standing) -> None:
        """What the client says of the node's part in making blocks. Its role is what the chain says, in whatever way it
        came to it."""
        if standing == self._standing and not self._is_silent:
            return
        self._standing, self._is_silent = standing, False
        self._status.role = "validator" if standing.validates else "observer"
        if standing.members is not None:
            self._status.expected_peers = max(0, standing.members - 1)
        self._reckon()

    def silent(self) -> None:
        """The client does not answer, and may still when it is asked again."""
        self._is_silent = True
        self._reckon()

    async def follow_heads(self, rpc: IpcRpc) -> None:
        """Takes every new head; returns when the connection is gone."""
        with contextlib.suppress(RpcError, ValueError, KeyError, TypeError):
            async with contextlib.aclosing(rpc.subscribe("newHeads")) as heads:
                latest = await rpc.call("eth_getBlockByNumber", "latest", False)
                self._first_block = int(latest["number"], 16)
                self.see_head(latest)
                async for head in heads:
                    self.see_head(head)

    async def follow_peers(self, rpc: IpcRpc) -> None:
        """Counts peers at each event, and now and then without one; returns when the connection is gone.

        geth answers a subscription a moment before it takes effect (node/api.go, PeerEvents), and the first peers come
        in that moment.
        """
        news = asyncio.Event()
        listener = asyncio.create_task(_listen_for_peers(rpc, news))
        pause = SHORTEST_PEER_PAUSE
        try:
            while not listener.done():
                news.clear()
                self._see_peers(await rpc.call("net_peerCount"))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await news.wait()
                pause = min(pause * 2, LONGEST_PEER_PAUSE)
        except (RpcError, ValueError, TypeError):
            pass  # the connection is gone, or will be
        finally:
            listener.cancel()

    async def peers_reach(self, count: int) -> None:
        """Returns when the client is connected to so many."""
        while (self._status.peers or 0) < count:
            await self._peers_changed.wait()

    async def next_head(self, within: float) -> None:
        """Returns at the next head, or after so many seconds without one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._head_changed.wait()

    def see_head(self, head: dict[str, str]) -> None:
        """One that is no higher than the highest before it, as a node's that went back and forth, ends no stall."""
        assert self._record is not None
        self._status.block = int(head["number"], 16)
        self._status.block_hash = head["hash"]
        self._head_changed.set()
        self._head_changed = asyncio.Event()
        if not self._is_stalled or (self._status.block > self._highest and not self._is_held):
            self._is_stalled = False
            self._wind_stall()
        self._highest = max(self._highest, self._status.block)
        self._reckon()

    def _wind_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
        assert self._record is not None
        if not self._record.consensus.blocks_on_demand:
            loop = asyncio.get_running_loop()
            self._stall = loop.call_later(stall_after(self._record.consensus.period), self._stalled)

    def _see_peers(self, count: str) -> None:
        self._status.peers = int(count, 16)
        self._peers_changed.set()
        self._peers_changed = asyncio.Event()
        self._reckon()

    def _reckon(self) -> None:
        """The state that it all amounts to. Without its account open a node could seal and send nothing."""
        if self._record is None:
            return
        status, standing = self._status, self._standing
        alone = bool(status.expected_peers) and not status.peers
        advanced = status.block is not None and status.block != self._first_block
        on_demand = self._record.consensus.blocks_on_demand
        fit = standing is not None and status.block is not None and not alone if on_demand else advanced
        trouble = "its client does not answer" if self._is_silent else standing.trouble if standing else None
        if standing is not None and standing.removed:
            self._set_state("removed", trouble)
        elif self._is_stalled or (trouble and self._was_ready):
            self._set_state("stalled", trouble)
        elif fit and self._account_open and not trouble:
            self._was_ready = True
            self._set_state("running", None)
        else:
            self._set_state("waiting" if alone else "syncing", trouble)

    def _stalled(self) -> None:
        self._is_stalled = True
        self._reckon()


async def _listen_for_peers(rpc: IpcRpc, news: asyncio.Event) -> None:
    try:
        async with contextlib.aclosing(rpc.subscribe("peerEvents", namespace="admin")) as events:
            async for _ in events:
                news.set()
    except RpcError:
        news.set()
