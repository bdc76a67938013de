"""Current geth without CometBFT, whose part the test plays: killed between any two steps, ahead, behind, fallen."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from quorumkit.engines import Binary
from quorumkit.engines.bft.bridge import engine_api
from quorumkit.engines.bft.bridge.execution import Execution, ExecutionError
from quorumkit.engines.bft.bridge.payload import Payload
from quorumkit.engines.bft.bridge.remembered import Remembered
from quorumkit.errors import RpcError
from support.bft_geth import RealGeth

pytestmark = pytest.mark.network

STEPS = ("build", "judge", "take", "commit", "after")


class Node:
    """A geth, what of the bridge asks it, and what the validators decided."""

    def __init__(self, geth: RealGeth) -> None:
        self.geth = geth
        self.decided: dict[int, Payload] = {}
        self.cometbft_answers = True
        self.height = 0
        self.data = geth.directory / "cometbft"
        (self.data / "blockstore.db").mkdir(parents=True)
        self.said: list[str] = []
        self.execution = self.anew()

    def anew(self) -> Execution:
        self.execution = Execution(
            self.geth.ipc, store=self, remembered=self.data / "committed.json", fork="osaka",
            say=lambda _, text: self.said.append(text),
        )  # fmt: skip
        return self.execution

    async def payloads(self, first: int, last: int) -> AsyncIterator[Payload]:
        """As the store of CometBFT gives them."""
        if not self.cometbft_answers:
            raise RpcError("CometBFT is not there")
        for height in range(first, last + 1):
            yield self.decided[height]

    async def start_geth(self) -> None:
        self.geth.start()
        await self.geth.answering()

    async def killed(self) -> None:
        self.geth.kill()
        await self.start_geth()

    async def step(self, *, kill_before: str = "") -> Payload:
        """The next block, from its building to its commit."""
        execution, height = self.execution, self.height + 1

        async def reached(step: str) -> None:
            if step == kill_before:
                await self.killed()

        await reached("build")
        timestamp = max(execution.head.timestamp + 1, int(time.time()))
        payload = await execution.build(timestamp=timestamp, height=height, fee_recipient="0x" + "00" * 20, wait=0.2)
        assert payload is not None, self.said
        await reached("judge")
        assert await execution.judge(payload) is None
        await reached("take")
        await execution.take(payload)
        self.height, self.decided[height] = height, payload
        await reached("commit")
        await execution.commit(payload, height)
        await reached("after")
        assert execution.head.number == payload.number == self.height
        return payload

    async def make(self, count: int) -> None:
        for _ in range(count):
            await self.step()

    async def replay(self, first: int, last: int) -> None:
        """As CometBFT does before it takes up its work, and cannot be asked."""
        self.cometbft_answers = False
        for height in range(first, last + 1):
            await self.execution.take(self.decided[height])
            await self.execution.commit(self.decided[height], height)
        self.cometbft_answers = True

    async def head(self) -> int:
        geth = await engine_api.Geth.connect(self.geth.ipc, engine_api.methods_of("osaka"))
        try:
            return (await geth.head()).number
        finally:
            await geth.close()


@pytest.fixture(scope="module")
def binary(bft: Binary) -> Path:
    return bft.path


@pytest.fixture
def new_node(binary: Path, tmp_path: Path) -> Iterator[Callable[..., Node]]:
    made: list[Node] = []

    def make(scheme: str = "path", flags: tuple[str, ...] = ()) -> Node:
        made.append(Node(RealGeth(binary, tmp_path / f"node{len(made) + 1}", scheme=scheme, flags=flags)))
        return made[-1]

    yield make
    for node in made:
        node.geth.kill()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(120):
            await test()

    asyncio.run(bounded())


def test_a_geth_killed_between_any_two_steps_goes_on_with_what_was_decided(new_node: Callable[..., Node]) -> None:
    async def test() -> None:
        node = new_node("hash")
        await node.start_geth()
        await node.execution.start()
        await node.make(20)
        for step in STEPS:
            await node.step(kill_before=step)
            await node.step()
        # All at once: geth and bridge.
        await node.killed()
        head = await node.anew().start()
        await node.replay(head.height + 1, node.height)
        await node.step()

        # An older copy of CometBFT's store.
        older, was = (node.data / "committed.json").read_bytes(), node.height
        await node.make(30)
        (node.data / "committed.json").write_bytes(older)
        assert (await node.anew().start()).height == was
        await node.replay(was + 1, was + 3)
        # From here on others are decided: all nodes had older copies.
        node.height = was + 3
        await node.step()
        assert await node.head() == was + 4

    run(test)


def test_pruned_state_loses_128_blocks_to_a_kill_and_gets_them_again(new_node: Callable[..., Node]) -> None:
    async def test() -> None:
        node = new_node("path")
        await node.start_geth()
        await node.execution.start()
        await node.make(150)
        payload = await node.step(kill_before="commit")
        assert payload.number == 151
        assert any("CometBFT gives it what it lost" in line for line in node.said)
        await node.killed()
        head = await node.anew().start()
        assert 0 < head.height < 151
        await node.replay(head.height + 1, 151)
        await node.step()

    run(test)


def test_the_snap_sync_trap_is_told_and_left_by_a_restart_of_geth(
    new_node: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engine_api.Geth.forkchoice

    async def never_final(
        self: engine_api.Geth, head: str, *, final: bool = True, attributes: dict[str, object] | None = None
    ) -> engine_api.Verdict:
        """So that the freezer takes no blocks: with it, whether geth is caught depends on the moment of the kill."""
        return await own(self, head, final=False, attributes=attributes)

    async def test() -> None:
        node = new_node("hash", ("--gcmode", "full"))
        await node.start_geth()
        await node.execution.start()
        with monkeypatch.context() as patched:
            patched.setattr(engine_api.Geth, "forkchoice", never_final)
            await node.make(40)
        await node.killed()
        head = await node.anew().start()
        with pytest.raises(ExecutionError, match="snap sync"):
            await node.replay(head.height + 1, 40)
        assert "snap-sync incomplete" in node.geth.log.read_text()

        node.geth.kill(signal.SIGTERM)
        await node.start_geth()
        head = await node.anew().start()
        assert head.height > 0
        await node.replay(head.height + 1, 40)
        await node.step()

    run(test)


def test_state_and_blocks_that_cometbft_does_not_have_come_from_peers(new_node: Callable[..., Node]) -> None:
    async def test() -> None:
        old, joiner, fallen = new_node("path"), new_node("hash"), new_node("path")
        nodes = (old, joiner, fallen)
        for node in nodes:
            node.geth.peers = [other.geth for other in nodes if other is not node]
        await asyncio.gather(*(node.start_geth() for node in nodes))
        await old.execution.start()
        await old.make(60)

        (joiner.data / "blockstore.db").rmdir()
        await joiner.execution.start()
        assert (await joiner.execution.adopt(old.execution.head.hash)).height == 60
        payload = await old.step()
        await joiner.execution.take(payload)
        await joiner.execution.commit(payload, 61)
        assert await joiner.head() == 61

        Remembered(fallen.data / "committed.json").commit(61, payload.hash, base=50)
        assert (await fallen.anew().start()).height == 61

    run(test)
