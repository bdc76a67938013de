"""Everything that the bridge asks of geth, over its IPC socket alone.

A block's way is `build` (by its proposer), `judge` (before the vote), `take` (decided: geth executes it) and `commit`
(it is geth's head, and final). CometBFT stores what it decided before it asks for `commit`, so geth's head is never
ahead of what CometBFT can replay; and geth, which writes without syncing, may at any time come back with less than it
had: each of these brings it back to the last committed block first, and none takes geth's word that its head moved.

geth may end and come back at any time: all wait for it. Who waits no longer cancels.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from quorumkit.engines.bft.bridge import building, retention, starting
from quorumkit.engines.bft.bridge.block_store import BlockStore
from quorumkit.engines.bft.bridge.engine_api import (
    ExecutionError,
    Geth,
    GethGoneError,
    NewStartError,
    Verdict,
    methods_of,
)
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.payload import Payload
from quorumkit.engines.bft.bridge.remembered import Remembered
from quorumkit.engines.bft.validators import events
from quorumkit.errors import RpcError
from quorumkit.rpc.base import expecting

__all__ = ["Execution", "ExecutionError", "Head"]

T = TypeVar("T")

_RETRY = 0.1  # seconds between two looks for a geth that is not there
_HEARTBEAT = 60.0  # seconds: geth warns when consensus is silent for two minutes
_TRIES = 3
_SNAPSHOT_PATIENCE = 120.0  # seconds without any progress


class Execution:
    """Of one node."""

    def __init__(
        self, ipc: Path, *, store: BlockStore, remembered: Path, fork: str, say: Callable[[str, str], None],
        free_gas: bool = True,
    ) -> None:  # fmt: skip
        """`remembered` is a file in CometBFT's data directory (see `remembered.py`), `fork` the newest one in force
        from block 0.

        Raises:
            ExecutionError: an unknown fork.
        """
        self._ipc = ipc
        self._methods = methods_of(fork)
        self._store = store
        self._remembered = Remembered(remembered)
        self._say = say
        self._free_gas = free_gas
        self._geth: Geth | None = None
        self._connecting = asyncio.Lock()
        self._head: Head | None = None
        self._told_height = 0
        self._named_at = 0.0
        """When geth was told last where its head is."""
        self._barren: tuple[str, int] | None = None
        """On that block, so many transactions in the pool gave an empty block."""

    @property
    def head(self) -> Head:
        """The block that was committed last."""
        if self._head is None:
            raise RuntimeError("not started")
        return self._head

    async def start(self) -> Head:
        """Waits for geth and brings it to the block that was committed last, as far as it can without CometBFT, which
        replays what is missing from the height of the answer on.

        Raises:
            ExecutionError: geth is too old, or has less than CometBFT can replay and no peer gives it more.
        """
        async with self._connecting:
            await self.close()
            self._geth, head = await self._reached(self._first_head)
            self._head = head
            return head

    async def close(self) -> None:
        if self._geth is not None:
            geth, self._geth = self._geth, None
            await geth.close()

    async def pending(self) -> int:
        """Transactions that could go into a block now; 0 if they are the ones that just did not."""
        count = await self._asking(Geth.pending)
        if time.monotonic() - self._named_at > _HEARTBEAT:
            await self._asking(lambda geth: geth.moves_to(self.head.hash))
            self._named_at = time.monotonic()
        return 0 if self._barren == (self.head.hash, count) else count

    async def build(self, *, timestamp: int, height: int, fee_recipient: str, wait: float) -> Payload | None:
        """A block on the committed one, with what is in the pool; None if geth gives none.

        `wait`: seconds that a geth is given to fill the block that does not tell when it has.

        Raises:
            ExecutionError: geth cannot be brought to the committed block.
        """

        async def ask(geth: Geth) -> Payload | None:
            for _ in range(2):
                payload = await building.build(
                    geth,
                    self.head,
                    timestamp=timestamp,
                    height=height,
                    fee_recipient=fee_recipient,
                    wait=wait,
                    free_gas=self._free_gas,
                )
                if payload is not None:
                    return payload
                await self._restore(geth)
            return None

        try:
            payload = await self._asking(ask)
        except RpcError as error:
            self._say("ERROR", f"no block to propose at height {height}: {error.message}")
            return None
        if payload is not None:
            self._barren = None
            if not payload.fields["transactions"] and (count := await self._asking(Geth.pending)):
                self._barren = (self.head.hash, count)
        return payload

    async def judge(self, payload: Payload) -> str | None:
        """Why geth finds a proposed block invalid; None if it does not.

        Raises:
            ExecutionError: geth cannot say, for it does not have the committed block and does not get it.
        """
        try:
            verdict = await self._executed(payload)
        except RpcError as error:
            return error.message
        return None if verdict.valid else f"{verdict.status}: {verdict.reason or 'geth gives no reason'}"

    async def take(self, payload: Payload) -> None:
        """Has geth execute a decided block.

        Raises:
            ExecutionError: geth finds it invalid, or it does not follow the committed one: this node, or its geth, does
                not agree with the others, and must not go on.
        """
        if payload.parent_hash != self.head.hash:
            raise ExecutionError(
                f"the validators decided block {payload.number} at height {payload.height} on {payload.parent_hash},"
                f" and this node's last is number {self.head.number}, {self.head.hash}"
            )
        try:
            verdict = await self._executed(payload)
        except RpcError as error:
            verdict = Verdict("INVALID", error.message)
        if not verdict.valid:
            raise ExecutionError(
                f"this node's geth finds block {payload.number} {payload.hash} {verdict.status.lower()}, which the"
                f" validators decided at height {payload.height}: {verdict.reason or 'it gives no reason'}",
                hint="it cannot follow the others: see whether it runs another release of geth, or its disk is damaged",
            )

    async def commit(self, payload: Payload, height: int) -> None:
        """Makes a block that geth has taken its head, and final.

        Raises:
            ExecutionError: geth does not go there.
        """
        # Before geth: what is remembered may be ahead of geth, which then catches up, and never behind it.
        self._remembered.commit(height, payload.hash)
        head = Head(payload.number, payload.hash, payload.timestamp, payload.height)
        for _ in range(_TRIES):
            try:
                if await self._asking(lambda geth: _is_there(geth, head)):
                    self._head = head
                    self._named_at = time.monotonic()
                    return
                self._say("WARN", f"geth did not move to block {payload.number}: it is given it again")
                await self.take(payload)
            except RpcError as error:
                self._say("WARN", f"block {payload.number}: {error.message}")
        raise ExecutionError(f"geth does not make block {payload.number} its head, which the validators decided")

    async def validator_changes(self, payload: Payload) -> list[tuple[bytes, int]]:
        """The ed25519 keys whose voting power a taken block changes, with the new power (0: no validator any more).

        Raises:
            ExecutionError: geth does not tell.
        """
        if not events.may_have_updates(payload.fields["logsBloom"]):
            return []
        try:
            logs = await self._asking(lambda geth: geth.logs(events.log_filter(payload.hash)))
            with expecting("geth: eth_getLogs"):
                return events.updates(logs)
        except RpcError as error:
            raise ExecutionError(f"block {payload.number} may change the validators: {error.message}") from None

    async def retain_height(self, wanted: int) -> int:
        """What CometBFT may drop: all below this height; 0: nothing, or nothing new. `wanted` is how many of geth's
        blocks CometBFT should keep."""
        head = self.head
        if head.height < self._told_height + retention.EVERY:
            return 0
        self._told_height = head.height
        oldest = head.number - retention.kept_blocks(wanted)
        block = await self._asking(lambda geth: geth.at(oldest)) if oldest > 0 else None
        height = retention.retain_height(oldest_kept=block.height, height=head.height) if block else 0
        if height:
            # Before CometBFT is told: a start that finds geth further behind than this knows that CometBFT cannot help.
            self._remembered.drop_below(height)
        return height

    async def rewind(self, height: int) -> None:
        """Takes out of geth what was decided above that consensus height.

        Raises:
            ExecutionError: geth did not go back.
        """

        async def ask(geth: Geth) -> Head:
            block = await starting.block_at(geth, height)
            await starting.rewind(geth, block)
            return block

        self._head = await self._asking(ask)

    async def adopt(self, block_hash: str) -> Head:
        """Has geth fetch a block that the validators decided, and the state at it, from its peers (state sync). May
        take long; `head` is that block then.

        Raises:
            ExecutionError: no peer gives it.
        """

        async def ask(geth: Geth) -> Head:
            known = await geth.find(block_hash)
            if known is not None and await starting.is_ahead(geth, known):
                return known
            if not await starting.fetch(geth, block_hash, patience=_SNAPSHOT_PATIENCE):
                raise ExecutionError(f"no peer gives geth block {block_hash}, which a snapshot names")
            return await geth.head()

        head = await self._asking(ask)
        self._remembered.commit(head.height, head.hash, base=head.height + 1)
        self._head = head
        return head

    async def _executed(self, payload: Payload) -> Verdict:
        """What geth says of a payload on the committed block, once it has that block."""

        async def ask(geth: Geth) -> Verdict:
            verdict = await geth.execute(payload)
            if verdict.valid or verdict.invalid:
                return verdict
            if payload.parent_hash != self.head.hash:
                return Verdict("INVALID", "it does not follow the committed block")
            await self._restore(geth)
            verdict = await geth.execute(payload)
            if verdict.valid or verdict.invalid:
                return verdict
            # Its head fell back to the first block while others outlived it, or lost its state. Then geth turns to
            # snap sync whatever its flags say, and takes no payload until it is started again with a head.
            raise NewStartError("geth has the last block and yet executes none on it (snap sync): it is started again")

        return await self._asking(ask)

    async def _restore(self, geth: Geth) -> None:
        await starting.restore(geth, self._store, self.head, self._say)

    async def _asking(self, question: Callable[[Geth], Awaitable[T]]) -> T:
        """Asks, as often as geth is gone before it has answered. So a question can be asked twice."""
        while True:
            geth = await self._connected()
            try:
                return await question(geth)
            except GethGoneError as error:
                self._say("WARN", f"{error.message}: the bridge waits for it")
                if self._geth is geth:
                    await self.close()

    async def _connected(self) -> Geth:
        async with self._connecting:
            if self._geth is None:
                self._geth, _ = await self._reached(self._come_back)
            return self._geth

    async def _reached(self, prepare: Callable[[Geth], Awaitable[T]]) -> tuple[Geth, T]:
        """A connection to geth, as soon as there is one, and what `prepare` made of it."""
        while True:
            with contextlib.suppress(GethGoneError):
                geth = await Geth.connect(self._ipc, self._methods)
                try:
                    await starting.greet(geth, free_gas=self._free_gas)
                    return geth, await prepare(geth)
                except BaseException:
                    await geth.close()
                    raise
            await asyncio.sleep(_RETRY)

    async def _first_head(self, geth: Geth) -> Head:
        remembered = self._remembered
        try:
            head = await starting.first_head(geth, remembered.last, nothing_yet=remembered.is_first, say=self._say)
        except RpcError as error:
            raise _ended_by(error) from None
        if remembered.is_first:
            # CometBFT is about to make its store: that it was empty is known only now.
            remembered.commit(0, head.hash, base=1)
        return head

    async def _come_back(self, geth: Geth) -> None:
        """geth was started again while consensus went on."""
        await starting.wake(geth)
        try:
            await self._restore(geth)
        except RpcError as error:
            raise _ended_by(error) from None


def _ended_by(error: RpcError) -> Exception:
    """What geth refuses there it would refuse again."""
    return error if isinstance(error, GethGoneError) else ExecutionError(error.message)


async def _is_there(geth: Geth, block: Head) -> bool:
    """Names a committed block as the head. Whether geth is there then, or was ahead of it."""
    return await geth.moves_to(block.hash) or await starting.is_ahead(geth, block)
