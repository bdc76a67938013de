"""What CometBFT tells of the height it works on and of the node's part in it, as the node reports it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime
from typing import TYPE_CHECKING

from quorumkit.engines.base import Report, Standing
from quorumkit.engines.bft.comet_rpc import CometRpc
from quorumkit.engines.bft.members import names_of
from quorumkit.engines.bft.rounds import Height, RoundState, round_state, what_it_waits_for
from quorumkit.errors import RpcError
from quorumkit.rpc.base import expecting

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord

LOOK_EVERY = 2.0
"""Seconds between two looks at a height."""

SOON = 0.25
"""Seconds between two while it does not answer yet, or is not in step."""

SLOW_AFTER = 3.0
"""Seconds beyond the period after which it is told what a height waits for."""

ON_DEMAND_WITHIN = 10.0
"""Seconds, and five periods, in which transactions that came must be in a block."""

OLD_AFTER = 45.0
"""Seconds, and five periods, that a block's time is in the past where others must have decided it long ago: clocks may
be half a minute apart."""

_MOST_VALIDATORS = 100  # of one page of `validators`, which is the most that it gives


class Progress:
    """Of one run of the node's processes."""

    def __init__(self, comet: CometRpc, record: NodeRecord, report: Report) -> None:
        self._comet = comet
        self._record = record
        self._report = report
        self._names = names_of(record)
        self._height = Height()
        self._standing: Standing | None = None
        self._is_behind = False
        self._last_height: int | None = None
        self._news = asyncio.Event()
        self.is_known = asyncio.Event()
        """Set once CometBFT has told of the node's part. It takes up its work only after it has had geth execute what
        that lacks of its blocks."""

    def take(self, record: NodeRecord) -> None:
        """The node's files were written again."""
        self._record = record
        self._names = names_of(record)

    def head_came(self) -> None:
        """There is a new block: what was in the way is not any more."""
        if self._standing is not None and self._standing.trouble is not None and not self._is_behind:
            self._news.set()

    async def follow(self) -> None:
        """Never returns."""
        while True:
            self._news.clear()
            with contextlib.suppress(RpcError):  # it starts yet, or ends
                await self._look()
            pause = SOON if self._standing is None or self._is_behind else LOOK_EVERY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    async def _look(self) -> None:
        status = await self._comet.call("status")
        state = round_state(await self._comet.call("consensus_state"))
        with expecting("CometBFT: status"):
            validates = int(status["validator_info"]["voting_power"]) > 0
            sync = status["sync_info"]
            fetches, height = bool(sync["catching_up"]), int(sync["latest_block_height"])
            age = time.time() - datetime.fromisoformat(sync["latest_block_time"]).timestamp()
        seconds = self._height.look(state, time.monotonic())
        self._is_behind = fetches or self._follows_old_blocks(height, age, seconds)
        waits_for = await self._what_it_waits_for(state, seconds) if not self._is_behind else None
        if self._is_behind:
            trouble: str | None = "it fetches the blocks that the others have"
        else:
            trouble = waits_for if self._is_stalled(seconds) else None
        self._publish(state, seconds, waits_for)
        self._standing = Standing(validates, len(state.prevotes), trouble=trouble)
        self._report.stand(self._standing)
        self.is_known.set()

    def _follows_old_blocks(self, height: int, age: float, seconds: float) -> bool:
        """Whether it takes blocks one after the other that were decided long ago. CometBFT does not say so: where it
        leaves off fetching too soon, its peers give it the rest height by height. One old block alone is no sign: its
        time is that of the votes before it, and after a standstill those are old."""
        last, self._last_height = self._last_height, height
        if age < OLD_AFTER + 5.0 * self._record.consensus.period or last is None:
            return False
        if self._is_behind:
            return seconds < self._record.consensus.period + SLOW_AFTER
        return height > last + 1

    async def _what_it_waits_for(self, state: RoundState, seconds: float) -> str | None:
        if seconds < self._record.consensus.period + SLOW_AFTER:
            return None
        answer = await self._comet.call("validators", per_page=_MOST_VALIDATORS)
        with expecting("CometBFT: validators"):
            validators = [str(each["address"]) for each in answer["validators"]]
        return what_it_waits_for(state, validators, self._names)

    def _is_stalled(self, seconds: float) -> bool:
        """Where blocks come on demand, nobody else can tell that one is due."""
        consensus = self._record.consensus
        within = ON_DEMAND_WITHIN + 5.0 * consensus.period
        return self._report.is_stalled or (consensus.blocks_on_demand and seconds > within)

    def _publish(self, state: RoundState, seconds: float, waits_for: str | None) -> None:
        publish = self._report.publish
        publish("consensus_height", state.height)
        publish("consensus_round", state.round)
        publish("consensus_step", state.step.name.lower().replace("_", " "))
        publish("consensus_proposer", self._names.get(state.proposer, state.proposer))
        publish("height_seconds", round(seconds, 1))
        publish("validators", len(state.prevotes))
        publish("waits_for", waits_for)
