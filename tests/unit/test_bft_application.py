"""What CometBFT is answered, by a node whose geth is played."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from test_bft_proposal import payload

from quorumkit.engines.bft.bridge import abci_pb2 as abci
from quorumkit.engines.bft.bridge.application import Application
from quorumkit.engines.bft.bridge.doorbell import doorbell
from quorumkit.engines.bft.bridge.engine_api import ExecutionError
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.pacing import Instant
from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload, beacon_root, prev_randao
from quorumkit.engines.bft.bridge.proposal import decode, encode
from quorumkit.engines.bft.bridge.rules import Rules

START = 1_000_000
MEMBER = "ab" * 20


def block_hash(number: int) -> str:
    return f"0x{number:064x}"


class Geth:
    """Finds everything valid, and builds blocks whose hash is their number."""

    def __init__(self, head: Head | None = None) -> None:
        self.head = head or Head(0, block_hash(0), START - 100, 0)
        self.pool = 0
        self.asked: list[str] = []
        self.verdict: str | None = None
        self.changes: list[tuple[bytes, int]] = []
        self.retain = 0
        self.none = False

    async def pending(self) -> int:
        return self.pool

    def block(self, height: int, timestamp: int, transactions: int = 0) -> Payload:
        number = self.head.number + 1
        return payload(
            parentHash=self.head.hash,
            blockNumber=hex(number),
            blockHash=block_hash(number),
            timestamp=hex(timestamp),
            transactions=["0x02f8"] * transactions,
            prevRandao=prev_randao(self.head.hash, height),
            **{BEACON_ROOT: beacon_root(height)},
        )

    async def build(self, *, timestamp: int, height: int, fee_recipient: str, wait: float) -> Payload | None:
        return None if self.none else self.block(height, timestamp, self.pool)

    async def judge(self, payload: Payload) -> str | None:
        self.asked.append("judge")
        return self.verdict

    async def take(self, payload: Payload) -> None:
        self.asked.append("take")

    async def commit(self, payload: Payload, height: int) -> None:
        self.asked.append("commit")
        self.head = Head(payload.number, payload.hash, payload.timestamp, height)

    async def validator_changes(self, payload: Payload) -> list[tuple[bytes, int]]:
        return self.changes

    async def retain_height(self, wanted: int) -> int:
        return self.retain

    async def adopt(self, block_hash: str) -> Head:
        self.head = Head(32, block_hash, START, 32)
        return self.head


class Clock:
    def __init__(self) -> None:
        self.time = float(START)

    def __call__(self) -> Instant:
        return Instant(self.time, self.time - START)


class Node:
    def __init__(self, geth: Geth | None = None, *, empty_blocks: bool = True, pruned: bool = True) -> None:
        self.geth, self.clock, self.said = geth or Geth(), Clock(), list[str]()
        self.app = Application(
            self.geth,
            Rules(1, empty_blocks),
            fee_recipient="0x" + "01" * 20,
            pruned=pruned,
            members=lambda: frozenset([MEMBER]),
            say=lambda level, text: self.said.append(f"{level} {text}"),
            now=self.clock,
        )

    def time(self) -> abci.Time:
        return abci.Time(seconds=int(self.clock.time) - 1)

    async def prepared(self, height: int) -> list[bytes]:
        request = abci.RequestPrepareProposal(height=height, time=self.time(), max_tx_bytes=10**7)
        return list((await self.app.prepare_proposal(request)).txs)

    async def accepts(self, height: int, *txs: bytes) -> bool:
        request = abci.RequestProcessProposal(height=height, time=self.time(), txs=txs)
        status = (await self.app.process_proposal(request)).status
        return status == abci.ResponseProcessProposal.Status.ACCEPT

    async def decided(self, height: int, *txs: bytes) -> abci.ResponseFinalizeBlock:
        request = abci.RequestFinalizeBlock(height=height, time=self.time(), txs=txs)
        answer = await self.app.finalize_block(request)
        await self.app.commit(abci.RequestCommit())
        return answer


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_height_goes_from_proposal_to_commit() -> None:
    async def test() -> None:
        node = Node()
        (data,) = await node.prepared(1)
        assert decode(data).timestamp == START
        assert await node.accepts(1, data)
        answer = await node.decided(1, data)
        assert answer.app_hash.hex() == block_hash(1)[2:]
        assert [(each.code, each.gas_used) for each in answer.tx_results] == [(0, 0x5208)]
        assert node.geth.asked == ["judge", "take", "commit"]
        info = await node.app.info(abci.RequestInfo())
        assert (info.last_block_height, info.last_block_app_hash.hex()) == (1, block_hash(1)[2:])

    run(test)


def test_geth_is_moved_in_commit_and_not_before() -> None:
    async def test() -> None:
        node = Node()
        (data,) = await node.prepared(1)
        await node.app.finalize_block(abci.RequestFinalizeBlock(height=1, time=node.time(), txs=[data]))
        assert node.geth.asked == ["take"]

    run(test)


def test_a_replayed_block_is_answered_the_same_whatever_the_clock_says() -> None:
    async def test() -> None:
        one, other = Node(), Node()
        one.geth.changes = other.geth.changes = [(b"\x02" * 32, 1), (b"\x01" * 32, 1), (b"\x02" * 32, 0)]
        (data,) = await one.prepared(1)
        assert await one.accepts(1, data)
        first = await one.decided(1, data)
        other.clock.time += 1e6
        assert await other.decided(1, data) == first
        assert [(each.pub_key.ed25519, each.power) for each in first.validator_updates] == [
            (b"\x01" * 32, 10),
            (b"\x02" * 32, 0),
        ]

    run(test)


def test_what_a_hostile_proposer_sends_is_refused_and_told() -> None:
    async def test() -> None:
        node = Node()
        (data,) = await node.prepared(1)
        for txs in ([], [data, data], [b""], [b"rubbish"], [data + b"\x00"], [data[:-1]]):
            assert not await node.accepts(1, *txs)
        assert "judge" not in node.geth.asked
        assert node.app.figures.rejected == 6
        assert node.app.figures.rejected_because is not None
        assert all("is refused" in line for line in node.said)
        assert await node.accepts(1, data)

    run(test)


def test_what_geth_finds_invalid_is_refused() -> None:
    async def test() -> None:
        node = Node()
        node.geth.verdict = "INVALID: wrong state root"
        (data,) = await node.prepared(1)
        assert not await node.accepts(1, data)
        assert "wrong state root" in str(node.app.figures.rejected_because)

    run(test)


def test_a_block_from_the_future_is_refused_until_that_is_the_only_way() -> None:
    async def test() -> None:
        node = Node()
        late = encode(node.geth.block(1, START + 3_600))
        assert not await node.accepts(1, late)
        for _ in range(5):
            assert not await node.accepts(1, late)
        assert await node.accepts(1, encode(node.geth.block(1, START - 1)))

    run(test)


def test_no_block_of_geths_means_that_another_one_proposes() -> None:
    async def test() -> None:
        node = Node()
        node.geth.none = True
        assert await node.prepared(1) == []

    run(test)


def test_a_block_that_is_too_large_is_not_proposed() -> None:
    async def test() -> None:
        node = Node()
        request = abci.RequestPrepareProposal(height=1, time=node.time(), max_tx_bytes=100)
        assert not (await node.app.prepare_proposal(request)).txs
        assert "too large" in node.said[0]

    run(test)


def test_what_was_decided_and_is_no_block_ends_the_node() -> None:
    async def test() -> None:
        with pytest.raises(ExecutionError, match="height 1"):
            await Node().decided(1, b"rubbish")
        with pytest.raises(ExecutionError, match="has not decided"):
            await Node().app.commit(abci.RequestCommit())

    run(test)


def test_on_demand_a_height_without_transactions_has_no_block() -> None:
    async def test() -> None:
        node = Node(empty_blocks=False)
        assert await node.prepared(1) == []
        assert await node.accepts(1)
        answer = await node.decided(1)
        assert answer.app_hash.hex() == block_hash(0)[2:]
        assert not answer.tx_results
        # Geth keeps the height of its last block: from there CometBFT replays.
        assert (await node.app.info(abci.RequestInfo())).last_block_height == 0
        node.geth.pool = 2
        (data,) = await node.prepared(2)
        assert await node.accepts(2, data)
        assert (await node.decided(2, data)).app_hash.hex() == block_hash(1)[2:]

    run(test)


def test_on_demand_a_block_without_transactions_is_refused() -> None:
    async def test() -> None:
        node = Node(empty_blocks=False)
        assert not await node.accepts(1, encode(node.geth.block(1, START)))
        assert "without transactions" in str(node.app.figures.rejected_because)
        assert await node.accepts(1, encode(node.geth.block(1, START, transactions=1)))

    run(test)


def test_on_demand_heights_without_anything_follow_each_other_a_period_apart_however_often_somebody_rings() -> None:
    async def test() -> None:
        node = Node(empty_blocks=False)
        await node.decided(1)
        preparing = asyncio.ensure_future(node.prepared(2))
        await asyncio.sleep(0.1)
        assert not preparing.done()
        node.clock.time += 1
        async with asyncio.timeout(5):
            assert await preparing == []
        await node.decided(2)
        preparing = asyncio.ensure_future(node.prepared(3))
        await asyncio.sleep(0.1)
        node.geth.pool = 1
        async with asyncio.timeout(5):
            assert len(await preparing) == 1

    run(test)


def test_doorbells_are_taken_on_demand_alone_and_until_their_height_is_done() -> None:
    async def test() -> None:
        node = Node(empty_blocks=False)

        async def taken(data: bytes) -> bool:
            return (await node.app.check_tx(abci.RequestCheckTx(tx=data))).code == 0

        assert await taken(doorbell(0))
        assert not await taken(b"anything else")
        await node.decided(1)
        await node.decided(2)
        assert not await taken(doorbell(0))
        assert (await Node().app.check_tx(abci.RequestCheckTx(tx=doorbell(0)))).code != 0

    run(test)


def test_members_alone_may_connect() -> None:
    async def test() -> None:
        node = Node()

        async def code(path: str) -> int:
            return int((await node.app.query(abci.RequestQuery(path=path))).code)

        assert await code(f"/p2p/filter/id/{MEMBER}") == 0
        assert await code("/p2p/filter/addr/10.0.0.1:26656") == 0
        assert await code(f"/p2p/filter/id/{'cd' * 20}") != 0
        assert await code("/p2p/filter/id/") != 0
        assert await code("/store/anything") != 0
        assert "stranger" in node.said[0]

    run(test)


def test_a_chain_that_starts_anew_on_a_geth_with_blocks_is_refused() -> None:
    async def test() -> None:
        node = Node(Geth(Head(5, block_hash(5), START, 5)))
        with pytest.raises(ExecutionError, match="5 blocks already"):
            await node.app.init_chain(abci.RequestInitChain(chain_id="other"))
        answer = await Node().app.init_chain(abci.RequestInitChain())
        assert answer.app_hash.hex() == block_hash(0)[2:]

    run(test)


def test_old_blocks_are_dropped_where_pruned() -> None:
    async def test() -> None:
        for pruned in (True, False):
            node = Node(pruned=pruned)
            node.geth.retain = 77
            (data,) = await node.prepared(1)
            await node.app.finalize_block(abci.RequestFinalizeBlock(height=1, time=node.time(), txs=[data]))
            assert (await node.app.commit(abci.RequestCommit())).retain_height == (77 if pruned else 0)

    run(test)


def test_snapshots_are_blocks_whose_hash_can_be_proved() -> None:
    async def test() -> None:
        node = Node()

        async def heights() -> list[int]:
            answer = await node.app.snapshots.list_snapshots(abci.RequestListSnapshots())
            return [int(each.height) for each in answer.snapshots]

        for height in range(1, 90):
            node.clock.time += 1
            await node.decided(height, encode(node.geth.block(height, int(node.clock.time))))
            assert all(each <= height - 2 for each in await heights())
        assert await heights() == [48, 64, 80]

    run(test)


def test_a_node_that_joins_takes_the_block_that_the_validators_signed_for() -> None:
    async def test() -> None:
        node = Node()
        result = abci.ResponseOfferSnapshot.Result
        right = bytes.fromhex("cc" * 32)

        async def offered(app_hash: bytes = right, **changes: Any) -> int:
            fields: dict[str, Any] = {"height": 32, "format": 1, "chunks": 1, "hash": right} | changes
            request = abci.RequestOfferSnapshot(snapshot=abci.Snapshot(**fields), app_hash=app_hash)
            return (await node.app.snapshots.offer_snapshot(request)).result

        assert await offered(format=2) == result.REJECT_FORMAT
        assert await offered(chunks=2) == result.REJECT
        assert await offered(hash=b"\xdd" * 32) == result.REJECT
        assert await offered(app_hash=b"", hash=b"") == result.REJECT
        assert await offered() == result.ACCEPT
        answer = await node.app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(chunk=b"\x01"))
        assert answer.result == abci.ResponseApplySnapshotChunk.Result.ACCEPT
        info = await node.app.info(abci.RequestInfo())
        assert (info.last_block_height, info.last_block_app_hash) == (32, right)

    run(test)


def test_a_snapshot_that_nobody_has_any_more_is_passed_over() -> None:
    class Away(Geth):
        async def adopt(self, block_hash: str) -> Head:
            raise ExecutionError(f"no peer gives geth block {block_hash}")

    async def test() -> None:
        node = Node(Away())
        snapshot = abci.Snapshot(height=32, format=1, chunks=1, hash=b"\xcc" * 32)
        await node.app.snapshots.offer_snapshot(abci.RequestOfferSnapshot(snapshot=snapshot, app_hash=b"\xcc" * 32))
        answer = await node.app.apply_snapshot_chunk(abci.RequestApplySnapshotChunk(chunk=b"\x01"))
        assert answer.result == abci.ResponseApplySnapshotChunk.Result.REJECT_SNAPSHOT

    run(test)


def test_a_clock_that_is_wrong_by_thirty_seconds_is_no_objection_once_blocks_were_seen() -> None:
    """Its proposals bear network time, and it judges by that."""

    async def test() -> None:
        right, wrong = Node(), Node()
        wrong.clock.time += 30
        for height in range(1, 8):
            for node in (right, wrong):
                node.clock.time += 1
            time = abci.Time(seconds=int(right.clock.time))
            for proposer, other in ((right, wrong), (wrong, right)):
                answer = await proposer.app.prepare_proposal(
                    abci.RequestPrepareProposal(height=height, time=time, max_tx_bytes=10**7)
                )
                request = abci.RequestProcessProposal(height=height, time=time, txs=answer.txs)
                accepted = (await other.app.process_proposal(request)).status
                if height > 3:
                    assert accepted == abci.ResponseProcessProposal.Status.ACCEPT
                    assert abs(decode(answer.txs[0]).timestamp - right.clock.time) <= 2
            data = encode(dataclasses.replace(right.geth.block(height, int(right.clock.time)), mark=right.clock.time))
            for node in (right, wrong):
                await node.app.finalize_block(abci.RequestFinalizeBlock(height=height, time=time, txs=[data]))
                await node.app.commit(abci.RequestCommit())

    run(test)
