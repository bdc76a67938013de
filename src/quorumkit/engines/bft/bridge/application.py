"""What CometBFT asks of its application (ABCI 2.0), answered by geth.

The way of a height: `prepare_proposal` (if this node proposes), `process_proposal` (before each vote),
`finalize_block` (it is decided: geth executes it), `commit` (it is geth's head). Everything that goes into consensus
(the results, the validator updates, the application hash) follows from the decided block alone, so that every node
gives the same answer, and gives it again when CometBFT replays the block.

The application hash is the hash of geth's block; a height without a block leaves it as it is. There is nothing to be
kept here: the height stands in geth's block.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from quorumkit.engines.bft.bridge import abci_pb2 as abci
from quorumkit.engines.bft.bridge import pacing, proposal, unused
from quorumkit.engines.bft.bridge.doorbell import is_doorbell
from quorumkit.engines.bft.bridge.engine_api import ExecutionError
from quorumkit.engines.bft.bridge.pacing import Instant, NetworkClock, Released
from quorumkit.engines.bft.bridge.payload import Payload
from quorumkit.engines.bft.bridge.rules import Execution, Figures, Rules
from quorumkit.engines.bft.bridge.snapshots import Snapshots
from quorumkit.engines.bft.bridge.unused import REFUSED
from quorumkit.engines.bft.bridge.wire import Handler
from quorumkit.engines.bft.validators import CONSENSUS_POWER, POWER

APP_VERSION: Final = 1
"""Of the rules by which blocks are judged; a part of every consensus header. Another one is another chain."""

_KEPT_WHEN_PRUNED = 10_000
"""geth's blocks that CometBFT keeps: 60 to 100 MB, and hours in which a node may be away."""

_LOOK = 0.05  # seconds between two looks for transactions, in a height that waits for them
_FILTER_BY_ADDRESS = "/p2p/filter/addr/"
_FILTER_BY_ID = "/p2p/filter/id/"


@dataclass(frozen=True)
class _Decided:
    height: int
    payload: Payload | None


def instant() -> Instant:
    """Now."""
    # Not CLOCK_MONOTONIC, which stands still while the machine sleeps.
    return Instant(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


class Application:
    """Of one node."""

    def __init__(
        self,
        execution: Execution,
        rules: Rules,
        *,
        fee_recipient: str,
        pruned: bool,
        members: Callable[[], frozenset[str]],
        say: Callable[[str, str], None],
        tell: Callable[[Figures], None] = lambda figures: None,
        now: Callable[[], Instant] = instant,
    ) -> None:
        """`execution` has started. `members` are the CometBFT node ids that may connect; `tell` is given what
        is known after each height and each proposal."""
        self._execution = execution
        self._rules = rules
        self._fee_recipient = fee_recipient
        self._pruned = pruned
        self._members = members
        self._say = say
        self._tell = tell
        self._now = now
        self.figures = Figures()
        self._clock = NetworkClock()
        self._seen: dict[bytes, Instant] = {}
        """The proposals of this height, and when each was first here."""
        self._seen_at_height = 0
        self._proposals = 0
        """How many there were at this height, also the same one again."""
        self._signed: Instant | None = None
        """When the last height was decided, if this node was there."""
        self._decided_at = -math.inf
        """When the last height was decided, by the steady clock."""
        self._in_a_row = 0
        """Heights that this node took part in without a gap."""
        self._last: Released | None = None
        self._accepted: str | None = None
        """The block that geth has found valid at this height."""
        self._decided: _Decided | None = None
        self.snapshots = Snapshots(lambda: self.figures.height)
        # One thing at a time is asked of geth by consensus, also where a CometBFT that was started anew speaks while
        # an answer to the one before is still being made.
        self._turn = asyncio.Lock()
        if execution.head.height:
            self._set_height(execution.head.height)
            self.snapshots.note(execution.head)

    @property
    def handlers(self) -> dict[str, Handler]:
        """By the name of the request (see `wire.Server`)."""
        return {
            "info": self._alone(self.info),
            "init_chain": self._alone(self.init_chain),
            "prepare_proposal": self._alone(self.prepare_proposal),
            "process_proposal": self._alone(self.process_proposal),
            "finalize_block": self._alone(self.finalize_block),
            "commit": self._alone(self.commit),
            "apply_snapshot_chunk": self._alone(self.apply_snapshot_chunk),
            "check_tx": self.check_tx,
            "query": self.query,
            **self.snapshots.handlers,
            **unused.HANDLERS,
        }

    def _alone(self, handler: Handler) -> Handler:
        async def answer(request: Any) -> Any:
            async with self._turn:
                return await handler(request)

        return answer

    # --- where we are

    async def info(self, _: abci.RequestInfo) -> abci.ResponseInfo:
        """Where geth is. CometBFT replays what it has beyond that."""
        head = self._execution.head
        return abci.ResponseInfo(
            data="quorumkit",
            app_version=APP_VERSION,
            last_block_height=head.height,
            last_block_app_hash=_hash_bytes(head.hash) if head.height else b"",
        )

    async def init_chain(self, request: abci.RequestInitChain) -> abci.ResponseInitChain:
        """The first start. The validators are those of CometBFT's genesis."""
        head = self._execution.head
        if head.number:
            raise ExecutionError(
                f"CometBFT starts its chain {request.chain_id}, but geth has {head.number} blocks already",
                hint="one of the two stores is not this network's, or was wiped without the other",
            )
        return abci.ResponseInitChain(app_hash=_hash_bytes(head.hash))

    # --- proposals

    async def prepare_proposal(self, request: abci.RequestPrepareProposal) -> abci.ResponsePrepareProposal:
        """The block that this node proposes, when it is due. None if geth gives none: then the others go on without us.

        CometBFT asks as soon as the last height is done, and so all waiting for the period is done here.
        """
        payload = await self.proposed(request.height, _seconds(request.time))
        if payload is None:
            return abci.ResponsePrepareProposal()
        try:
            data = proposal.encode(payload)
        except ValueError as error:
            self._say("ERROR", f"geth's block {payload.number} cannot be proposed: {error}")
            return abci.ResponsePrepareProposal()
        if len(data) > min(request.max_tx_bytes, proposal.LARGEST):
            self._say("ERROR", f"geth's block {payload.number} is too large for a proposal: {len(data)} bytes")
            return abci.ResponsePrepareProposal()
        return abci.ResponsePrepareProposal(txs=[data])

    async def proposed(self, height: int, block_time: float) -> Payload | None:
        """Waits until the next block is due, and has it then."""
        head, rules = self._execution.head, self._rules
        self._enter(height, block_time)
        due = pacing.due(self._last, parent=head.timestamp, period=rules.period, clock=self._clock, now=self._now())
        longest = pacing.lead(1 << 30, rules.period)
        await self._until(due - longest)
        # Those that come while this node waits are few next to those that are there.
        pending = await (self._execution.pending() if rules.empty_blocks else self._something_to_do())
        if not pending and not rules.empty_blocks:
            return None
        lead = pacing.lead(pending, rules.period)
        await self._until(due - lead)
        before = self._now()
        due = max(due, before.steady)
        release = Instant(before.wall + due - before.steady, due)
        timestamp = pacing.chosen(head.timestamp, block_time, self._clock, release, seen=self._proposals)
        payload = await self._execution.build(
            timestamp=timestamp, height=height, fee_recipient=self._fee_recipient, wait=lead
        )
        self.figures.built = self._now().steady - before.steady
        if payload is None or (not rules.empty_blocks and not payload.fields["transactions"]):
            return None
        await self._until(due)
        mark = pacing.mark(due, self._now(), rules.period)
        return Payload(fields=payload.fields, requests=payload.requests, mark=mark)

    async def _something_to_do(self) -> int:
        """How many transactions there are for a height on demand. One without any is not over before a period has
        passed since the last one: else a hostile validator could have heights follow each other as fast as can be, by
        ringing (`doorbell.py`)."""
        over = self._decided_at + self._rules.period
        while not (pending := await self._execution.pending()) and (left := over - self._now().steady) > 0:  # noqa: ASYNC110
            await asyncio.sleep(min(left, _LOOK))
        return pending

    async def process_proposal(self, request: abci.RequestProcessProposal) -> abci.ResponseProcessProposal:
        """Whether this node votes for a proposal."""
        before = self._now()
        self._enter(request.height, _seconds(request.time))
        objection = await self._objection(request, before)
        self._proposals += 1
        self.figures.checked = self._now().steady - before.steady
        status = abci.ResponseProcessProposal.Status
        if objection is None:
            self._tell(self.figures)
            return abci.ResponseProcessProposal(status=status.ACCEPT)
        self.figures.rejected += 1
        self.figures.rejected_because = f"height {request.height}: {objection}"
        self._tell(self.figures)
        self._say("WARN", f"a proposal for height {request.height} is refused: {objection}")
        return abci.ResponseProcessProposal(status=status.REJECT)

    async def _objection(self, request: abci.RequestProcessProposal, now: Instant) -> str | None:
        try:
            payload = proposal.read(request.txs, may_be_none=not self._rules.empty_blocks)
        except ValueError as error:
            return str(error)
        if payload is None:
            return None
        if not self._rules.empty_blocks and not payload.fields["transactions"]:
            return "a block without transactions, where they come on demand"
        self._seen.setdefault(_key(payload), now)
        head = self._execution.head
        times = pacing.acceptable(head.timestamp, _seconds(request.time), self._clock, now, seen=self._proposals)
        objection = proposal.objection(
            payload, head=head, height=request.height, times=times, free_gas=self._rules.free_gas
        )
        if objection is None and self._accepted != payload.hash:
            objection = await self._execution.judge(payload)
            if objection is None:
                self._accepted = payload.hash
        return objection

    # --- decided blocks

    async def finalize_block(self, request: abci.RequestFinalizeBlock) -> abci.ResponseFinalizeBlock:
        """A decided block: geth executes it. The answer follows from the block alone."""
        now = self._now()
        self._enter(request.height, _seconds(request.time))
        try:
            payload = proposal.read(request.txs, may_be_none=True)
        except ValueError as error:
            raise ExecutionError(
                f"the validators decided what is no block at height {request.height}: {error}"
            ) from None
        self._note_decided(payload, now)
        self._decided = _Decided(request.height, payload)
        if payload is None:
            return abci.ResponseFinalizeBlock(app_hash=_hash_bytes(self._execution.head.hash))
        await self._execution.take(payload)
        changes = await self._execution.validator_changes(payload)
        result = abci.TxResult(
            gas_wanted=int(payload.fields["gasLimit"], 16), gas_used=int(payload.fields["gasUsed"], 16)
        )
        return abci.ResponseFinalizeBlock(
            tx_results=[result], validator_updates=_updates(changes), app_hash=_hash_bytes(payload.hash)
        )

    async def commit(self, _: abci.RequestCommit) -> abci.ResponseCommit:
        """CometBFT has stored what was decided: it becomes geth's head, and final."""
        decided, self._decided = self._decided, None
        if decided is None:
            raise ExecutionError("CometBFT commits what it has not decided")
        if decided.payload is not None:
            await self._execution.commit(decided.payload, decided.height)
            self.figures.blocks += 1
            self.snapshots.note(self._execution.head)
        self._set_height(decided.height)
        self._tell(self.figures)
        retain = await self._execution.retain_height(_KEPT_WHEN_PRUNED) if self._pruned else 0
        return abci.ResponseCommit(retain_height=retain)

    # --- mempool and peers

    async def check_tx(self, request: abci.RequestCheckTx) -> abci.ResponseCheckTx:
        """CometBFT's mempool takes doorbells alone (see `doorbell.py`), and each only until its height is done."""
        rings = not self._rules.empty_blocks and is_doorbell(request.tx, height=self.figures.height)
        return abci.ResponseCheckTx(code=0 if rings else REFUSED)

    async def query(self, request: abci.RequestQuery) -> abci.ResponseQuery:
        """Whether a peer may connect (`p2p.filter_peers`); nothing else is answered."""
        path = request.path
        if path.startswith(_FILTER_BY_ADDRESS):
            return abci.ResponseQuery()  # whoever it is: its key is asked for next
        if path.startswith(_FILTER_BY_ID):
            name = path.removeprefix(_FILTER_BY_ID)
            if name.lower() in self._members():
                return abci.ResponseQuery()
            self._say("WARN", f"a stranger is refused that wants to connect to CometBFT: {name[:64]!r}")
            return abci.ResponseQuery(code=REFUSED, log="not a member")
        return abci.ResponseQuery(code=REFUSED, log="ask geth")

    # --- nodes that join

    async def apply_snapshot_chunk(self, request: abci.RequestApplySnapshotChunk) -> abci.ResponseApplySnapshotChunk:
        """Has geth fetch that block and its state; takes as long as it takes."""
        result = abci.ResponseApplySnapshotChunk.Result
        if self.snapshots.accepted is None:
            return abci.ResponseApplySnapshotChunk(result=result.ABORT)
        try:
            head = await self._execution.adopt(self.snapshots.accepted)
        except ExecutionError as error:
            self._say("WARN", f"{error.message}: another snapshot is tried")
            return abci.ResponseApplySnapshotChunk(result=result.REJECT_SNAPSHOT)
        self._set_height(head.height)
        return abci.ResponseApplySnapshotChunk(result=result.ACCEPT)

    # --- time

    def _enter(self, height: int, block_time: float) -> None:
        """Something is asked about a height: what was noted of the one before is done with."""
        if height == self._seen_at_height:
            return
        self._seen_at_height, self._proposals, self._accepted = height, 0, None
        self._seen.clear()
        self._clock.learn(block_time, self._signed)

    def _note_decided(self, payload: Payload | None, now: Instant) -> None:
        # A height that is replayed was signed some other time: one that this node saw no proposal for, or the first one
        # after a start, for CometBFT may replay a proposal from its log.
        took_part = self._proposals > 0
        self._in_a_row = self._in_a_row + 1 if took_part else 0
        self._signed = now if self._in_a_row > 1 else None
        self._decided_at = now.steady
        if payload is not None:
            self._last = Released(payload.mark, self._seen.get(_key(payload), now))

    def _set_height(self, height: int) -> None:
        self.figures.height = height

    async def _until(self, steady: float) -> None:
        while (left := steady - self._now().steady) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)


def _updates(changes: list[tuple[bytes, int]]) -> list[abci.ValidatorUpdate]:
    """One for each key, the last word on it, in an order of their own: CometBFT stops at a key that is named twice."""
    return [
        abci.ValidatorUpdate(pub_key=abci.PublicKey(ed25519=key), power=power // POWER * CONSENSUS_POWER)
        for key, power in sorted(dict(changes).items())
    ]


def _key(payload: Payload) -> bytes:
    return _hash_bytes(payload.hash)


def _hash_bytes(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def _seconds(moment: abci.Time) -> float:
    return float(moment.seconds + moment.nanos / 1e9)
