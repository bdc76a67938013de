"""What a running client's blocks, peers and part in consensus amount to: the node's state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from quorumkit.engines.base import Standing
from quorumkit.node.status import NodeStatus, State
from quorumkit.record import NodeRecord


def stall_after(period: int) -> float:
    """Seconds without a block before a node counts as stalled: validators that are down cost some periods each."""
    return 10.0 + 5.0 * period


class RunningState:
    """Of one client at a time: `begin` when one starts, `forget` when it has ended. A driver reports to it
    (`engines.base.Report`)."""

    def __init__(
        self, status: NodeStatus, set_state: Callable[[State, str | None], None],
        *, say: Callable[[str, str], None] = lambda level, text: None,
    ) -> None:  # fmt: skip
        self.say = say
        self.refuse: Callable[[str], None] = lambda reason: None
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

    def begin(self, record: NodeRecord, refuse: Callable[[str], None] = lambda reason: None) -> None:
        """A client is started; `refuse` ends it again."""
        self._record = record
        self.refuse = refuse

    def forget(self) -> None:
        """The client has ended."""
        self._record = self._standing = self._first_block = None
        self._highest = -1
        self._account_open = self._was_ready = self._is_stalled = self._is_silent = False
        if self._stall is not None:
            self._stall.cancel()
        status = self._status
        status.pid = status.peers = status.block = status.block_hash = None
        status.processes = {}
        status.figures = {}

    @property
    def was_ready(self) -> bool:
        """Whether this client was in step with its peers at some time."""
        return self._was_ready

    @property
    def is_stalled(self) -> bool:
        return self._is_stalled

    @property
    def expected_peers(self) -> int:
        return self._status.expected_peers

    @property
    def head(self) -> str | None:
        return self._status.block_hash

    def publish(self, name: str, value: Any) -> None:
        """Words are told to those who watch at once; numbers go with whatever else is next."""
        if self._record is None:
            return
        is_news = (isinstance(value, str) or value is None) and self._status.figures.get(name) != value
        self._status.figures[name] = value
        if is_news:
            self._set_state(self._status.state, self._status.error)

    @contextlib.contextmanager
    def standing_still(self) -> Iterator[None]:
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False

    def account_opened(self) -> None:
        self._account_open = True
        self._update_state()

    def stand(self, standing: Standing) -> None:
        """Its role is what the chain says, in whatever way it came to it; also where its files, which name the one that
        it had at first, were read again meanwhile."""
        role = "validator" if standing.validates else "observer"
        peers = self._status.expected_peers if standing.members is None else max(0, standing.members - 1)
        as_told = (self._status.role, self._status.expected_peers) == (role, peers)
        if standing == self._standing and not self._is_silent and as_told:
            return
        self._standing, self._is_silent = standing, False
        self._status.role, self._status.expected_peers = role, peers
        self._update_state()

    def silent(self) -> None:
        self._is_silent = True
        self._update_state()

    def see_first_head(self, number: int, block_hash: str) -> None:
        self._first_block = number
        self.see_head(number, block_hash)

    def see_head(self, number: int, block_hash: str) -> None:
        """One that is no higher than the highest before it, as a node's that went back and forth, ends no stall."""
        if self._record is None:
            return
        self._status.block, self._status.block_hash = number, block_hash
        self._head_changed.set()
        self._head_changed = asyncio.Event()
        if not self._is_stalled or (number > self._highest and not self._is_held):
            self._is_stalled = False
            self._wind_stall(self._record)
        self._highest = max(self._highest, number)
        self._update_state()

    def see_peers(self, count: int) -> None:
        self._status.peers = count
        self._peers_changed.set()
        self._peers_changed = asyncio.Event()
        self._update_state()

    async def peers_reach(self, count: int) -> None:
        while (self._status.peers or 0) < count:
            await self._peers_changed.wait()

    async def next_head(self, within: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._head_changed.wait()

    def _wind_stall(self, record: NodeRecord) -> None:
        if self._stall is not None:
            self._stall.cancel()
        if not record.consensus.blocks_on_demand:
            loop = asyncio.get_running_loop()
            self._stall = loop.call_later(stall_after(record.consensus.period), self._stalled)

    def _stalled(self) -> None:
        self._is_stalled = True
        self._update_state()

    def _update_state(self) -> None:
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
