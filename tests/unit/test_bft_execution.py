"""What the bridge asks of geth, with a geth that ends, forgets and lies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from quorumkit.engines.bft.bridge import starting
from quorumkit.engines.bft.bridge.execution import Execution, ExecutionError
from quorumkit.engines.bft.bridge.payload import Payload
from quorumkit.engines.bft.bridge.remembered import Remembered
from quorumkit.engines.bft.validators import ADDRESS, events
from support.fake_geth import GAS_LIMIT, GAS_OF_EACH, FakeGeth, Refusal, Store, ends_once, running

NOBODY = "0x" + "00" * 20


@dataclass
class Node:
    """A bridge's side of geth, and what CometBFT decided so far."""

    geth: FakeGeth
    directory: Path
    store: Store = field(default_factory=Store)
    said: list[str] = field(default_factory=list)
    height: int = 0

    def __post_init__(self) -> None:
        self.execution = self.anew()

    def anew(self) -> Execution:
        """As after a restart of the bridge."""
        self.execution = Execution(
            self.geth.socket, store=self.store, remembered=self.directory / "committed.json", fork="osaka",
            say=lambda _, text: self.said.append(text),
        )  # fmt: skip
        return self.execution

    async def build(self) -> Payload:
        execution = self.execution
        payload = await execution.build(
            timestamp=execution.head.timestamp + 1, height=self.height + 1, fee_recipient=NOBODY, wait=0
        )
        assert payload is not None, self.said
        return payload

    async def decide(self, payload: Payload) -> None:
        self.height += 1
        (self.directory / "blockstore.db").mkdir(exist_ok=True)
        self.store.decided[self.height] = payload
        await self.execution.take(payload)
        await self.execution.commit(payload, self.height)

    async def make(self, count: int) -> None:
        for _ in range(count):
            payload = await self.build()
            assert await self.execution.judge(payload) is None
            await self.decide(payload)


@contextlib.asynccontextmanager
async def started(directory: Path, blocks: int = 0) -> AsyncIterator[Node]:
    async with running(directory / "geth.ipc") as geth:
        node = Node(geth, directory)
        await node.execution.start()
        await node.make(blocks)
        yield node
        await node.execution.close()


def on_node(directory: Path, test: Callable[[Node], Awaitable[None]], blocks: int = 0) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), started(directory, blocks) as node:
            await test(node)

    asyncio.run(run())


def test_blocks_are_built_judged_taken_and_committed(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        assert node.geth.gas_price == 0
        await node.make(3)
        assert node.geth.head == 3
        assert node.execution.head.number == 3
        assert node.execution.head.height == 3
        assert Remembered(tmp_path / "committed.json").last is not None

    on_node(tmp_path, test)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "method",
    [
        "testing_buildBlockV1",
        "engine_newPayloadV4",
        "engine_forkchoiceUpdatedV3",
        "eth_getHeaderByNumber",
        "miner_setGasPrice",
    ],
)
def test_a_geth_that_ends_at_any_step_and_comes_back_is_asked_again(tmp_path: Path, method: str, after: bool) -> None:
    async def test(node: Node) -> None:
        if method == "miner_setGasPrice":
            ends_once(node.geth, "eth_getHeaderByNumber")
        ends_once(node.geth, method, after=after)
        await node.make(2)
        assert node.geth.head == 4
        assert node.geth.gas_price == 0

    on_node(tmp_path, test, blocks=2)


@pytest.mark.parametrize("keep_blocks", [False, True])
@pytest.mark.parametrize("lost_to", [0, 1, 59, 69])
def test_what_geth_lost_it_gets_again_while_consensus_goes_on(tmp_path: Path, lost_to: int, keep_blocks: bool) -> None:
    async def test(node: Node) -> None:
        payload = await node.build()
        await node.geth.stop()
        node.geth.fall_back(lost_to, keep_blocks=keep_blocks)
        await node.geth.start()
        assert await node.execution.judge(payload) is None
        await node.decide(payload)
        assert node.geth.head == 71

    on_node(tmp_path, test, blocks=70)


def test_a_block_that_geth_has_without_its_state_is_executed_again_before_the_next(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        node.geth.without_state.add(node.geth.chain[4])
        payload = await node.build()
        await node.geth.stop()
        node.geth.fall_back(3, keep_blocks=True)
        # It has block 4 yet, beside its chain, and not those after it.
        for lost in node.geth.chain[5:]:
            del node.geth.known[lost]
        del node.geth.chain[4:]
        await node.geth.start()
        assert await node.execution.judge(payload) is None
        assert node.geth.head == 8

    on_node(tmp_path, test, blocks=8)


def test_what_geth_lost_before_a_start_cometbft_replays(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        node.geth.fall_back(4)
        head = await node.anew().start()
        assert (head.number, head.height) == (4, 4)
        for height in range(5, 11):
            await node.execution.take(node.store.decided[height])
            await node.execution.commit(node.store.decided[height], height)
        assert node.geth.head == 10

    on_node(tmp_path, test, blocks=10)


def test_blocks_that_outlived_the_head_are_taken_again_at_a_start(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        node.geth.fall_back(0, keep_blocks=True)
        node.geth.synced = False
        assert (await node.anew().start()).number == 37
        assert node.geth.head == 37

    on_node(tmp_path, test, blocks=37)


def test_a_start_with_an_older_copy_of_cometbfts_store_answers_its_height(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        older = (tmp_path / "committed.json").read_bytes()
        await node.make(5)
        (tmp_path / "committed.json").write_bytes(older)
        head = await node.anew().start()
        assert (head.number, head.height) == (5, 5)
        # The same blocks again: geth has them.
        for height in (6, 7):
            await node.execution.take(node.store.decided[height])
            await node.execution.commit(node.store.decided[height], height)
        # From here on the validators decide others: all of them came from older copies.
        node.height = 7
        await node.make(1)
        assert node.geth.head == 8
        assert node.execution.head.hash == node.geth.head_hash

    on_node(tmp_path, test, blocks=5)


@pytest.mark.parametrize("left", [False, True], ids=["its note too", "its note left"])
def test_an_empty_store_of_cometbft_begins_at_the_first_block_whatever_geth_has(tmp_path: Path, left: bool) -> None:
    async def test(node: Node) -> None:
        Remembered(tmp_path / "committed.json").drop_below(3)
        if not left:
            (tmp_path / "committed.json").unlink()
        (tmp_path / "blockstore.db").rmdir()
        assert (await node.anew().start()).number == 0
        assert (last := Remembered(tmp_path / "committed.json").last) is not None
        assert (last.height, last.base) == (0, 1)
        # It was ended before it decided anything.
        (tmp_path / "blockstore.db").mkdir()
        assert (await node.anew().start()).number == 0

    on_node(tmp_path, test, blocks=5)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"height": 3, "hash": "0x12"}', b"[]"])
def test_where_what_was_committed_is_forgotten_geths_own_head_counts(tmp_path: Path, content: bytes) -> None:
    async def test(node: Node) -> None:
        (tmp_path / "committed.json").write_bytes(content)
        assert (await node.anew().start()).number == 5

    on_node(tmp_path, test, blocks=5)


def test_blocks_that_cometbft_dropped_come_from_peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(node: Node) -> None:
        Remembered(tmp_path / "committed.json").drop_below(8)
        node.geth.peers_have = set(node.geth.chain)
        node.geth.fall_back(2)
        assert (await node.anew().start()).number == 10

        monkeypatch.setattr(starting, "_PATIENCE_BELOW_BASE", 0.1)
        node.geth.peers_have = set()
        node.geth.fall_back(2)
        with pytest.raises(ExecutionError, match="kept what was decided from height 8 on") as caught:
            await node.anew().start()
        assert "priv_validator_state.json" in (caught.value.hint or "")

    on_node(tmp_path, test, blocks=10)


def test_a_geth_that_snap_syncs_with_its_head_there_ends_the_node(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        payload = await node.build()
        node.geth.snap_syncing = True
        with pytest.raises(ExecutionError, match="snap sync") as caught:
            await node.execution.judge(payload)
        assert caught.value.restarts_at_once
        with pytest.raises(ExecutionError, match="snap sync"):
            await node.execution.take(payload)

    on_node(tmp_path, test, blocks=3)


def test_valid_is_not_believed_when_the_head_did_not_move(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        payload = await node.build()
        assert await node.execution.judge(payload) is None
        valid = {"payloadStatus": {"status": "VALID", "validationError": None}, "payloadId": None}
        node.geth.instead["engine_forkchoiceUpdatedV3"] = lambda *_: valid
        with pytest.raises(ExecutionError, match="does not make block 4 its head"):
            await node.decide(payload)
        assert node.execution.head.number == 3

    on_node(tmp_path, test, blocks=3)


def test_a_proposal_that_geth_finds_invalid_or_cannot_read_is_objected_to(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        payload = await node.build()
        wrong = replace(payload, fields={**payload.fields, "timestamp": "0x99"})
        assert await node.execution.judge(wrong) == "INVALID: blockhash mismatch"

        def refuse(*_: object) -> None:
            raise Refusal(-32602, "invalid argument 0")

        node.geth.instead["engine_newPayloadV4"] = refuse
        assert "invalid argument 0" in str(await node.execution.judge(payload))
        del node.geth.instead["engine_newPayloadV4"]
        other = {"status": "VALID", "latestValidHash": "0x" + "77" * 32, "validationError": None}
        node.geth.instead["engine_newPayloadV4"] = lambda *_: other
        assert "it is block 0x7777" in str(await node.execution.judge(payload))

    on_node(tmp_path, test, blocks=3)


def test_a_decided_block_that_geth_finds_invalid_ends_the_node(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        payload = await node.build()
        wrong = replace(payload, fields={**payload.fields, "timestamp": "0x99"})
        with pytest.raises(ExecutionError, match=r"finds block 4 0x\w+ invalid, which the validators decided"):
            await node.execution.take(wrong)
        stray = replace(payload, fields={**payload.fields, "parentHash": node.geth.genesis})
        with pytest.raises(ExecutionError, match="and this node's last is number 3"):
            await node.execution.take(stray)
        assert node.geth.head == 3

    on_node(tmp_path, test, blocks=3)


def test_a_geth_that_is_too_old_is_refused(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        node.geth.methods.discard("engine_getPayloadV5")
        with pytest.raises(ExecutionError, match=r"too old .* engine_getPayloadV5"):
            await node.anew().start()

    on_node(tmp_path, test)


def test_a_geth_that_cannot_build_at_once_builds_in_the_way_of_the_engine_api(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        node.geth.without.add("testing_buildBlockV1")
        await node.make(2)
        assert node.geth.head == 2
        assert "engine_getPayloadV5" in node.geth.calls

    on_node(tmp_path, test)


def test_transactions_that_went_into_no_block_wake_nobody_until_something_changes(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        own = node.geth.testing_buildBlockV1

        def empty(*params: Any) -> Any:
            count, node.geth.pool = node.geth.pool, 0
            try:
                return own(*params)
            finally:
                node.geth.pool = count

        node.geth.pool = 3
        assert await node.execution.pending() == 3
        node.geth.instead["testing_buildBlockV1"] = empty
        await node.build()
        assert await node.execution.pending() == 0
        node.geth.pool = 4
        assert await node.execution.pending() == 4

    on_node(tmp_path, test, blocks=1)


def test_rewinding_takes_out_what_was_decided_later(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await node.execution.rewind(12)
        assert (node.geth.head, node.execution.head.number) == (12, 12)
        assert len(node.geth.chain) == 13

    on_node(tmp_path, test, blocks=40)


def test_a_snapshot_is_adopted_from_peers_and_remembered(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        target = node.geth.head_hash
        node.geth.peers_have = set(node.geth.chain)
        node.geth.fall_back(0)
        node.execution = node.anew()
        await node.execution.start()
        assert (await node.execution.adopt(target)).number == 30
        last = Remembered(tmp_path / "committed.json").last
        assert last is not None
        assert (last.height, last.hash, last.base) == (30, target, 31)

    on_node(tmp_path, test, blocks=30)


def test_cometbft_may_drop_what_geth_will_never_lose(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        assert await node.execution.retain_height(200) == 0
        await node.make(1040 - 30)
        assert await node.execution.retain_height(200) == 40
        assert await node.execution.retain_height(200) == 0
        await node.make(32)
        assert await node.execution.retain_height(200) == 72
        last = Remembered(tmp_path / "committed.json").last
        assert last is not None
        assert last.base == 72

    on_node(tmp_path, test, blocks=30)


def test_changes_of_the_validators_are_read_from_a_taken_blocks_events(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        payload = node.geth.payload(2)
        assert await node.execution.validator_changes(payload) == []
        assert "eth_getLogs" not in node.geth.calls
        key = b"\x05" * 32
        topics = [events.UPDATE_TOPIC, "0x" + "00" * 32, "0x" + key.hex()]
        node.geth.logs[payload.hash] = [
            {"address": ADDRESS, "topics": topics, "data": f"0x{1:064x}", "logIndex": "0x0"},
        ]
        full = replace(payload, fields={**payload.fields, "logsBloom": "0x" + "ff" * 256})
        assert await node.execution.validator_changes(full) == [(key, 1)]
        node.geth.logs[payload.hash] = [{}]
        with pytest.raises(ExecutionError, match="block 2 may change the validators"):
            await node.execution.validator_changes(full)

    on_node(tmp_path, test, blocks=2)


def test_a_second_start_beside_other_questions_leaves_them_their_head(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        built = asyncio.gather(*(node.build() for _ in range(5)))
        heads = await asyncio.gather(*(node.execution.start() for _ in range(5)))
        assert {head.number for head in heads} == {3}
        assert {payload.number for payload in await built} == {4}

    on_node(tmp_path, test, blocks=3)


def test_where_gas_is_free_a_block_leaves_out_what_would_give_it_a_price(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        node.geth.pool = 30_000
        payload = await node.build()
        used = int(payload.fields["gasUsed"], 16)
        assert used <= GAS_LIMIT // 2 < used + 2 * GAS_OF_EACH

    on_node(tmp_path, test)
