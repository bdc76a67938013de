"""Every part of a node killed at every call of consensus, on all nodes at once: what was decided stays."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from quorumkit.engines import Binary
from quorumkit.engines.bft.bridge.application import Application
from quorumkit.errors import QuorumkitError, RpcError
from support.bft_geth import CHAIN_ID
from support.bft_network import BftNetwork, BftNode, until

pytestmark = pytest.mark.network

CALLS = ("info", "prepare_proposal", "process_proposal", "finalize_block", "commit")
PARTS = ("geth", "bridge", "cometbft", "all")
WAYS = [(part, call, after) for part, call, after in itertools.product(PARTS, CALLS, (False, True))]


class Kept:
    """A node of which one part is killed when CometBFT makes a certain call, before it is answered or after; and what
    the node program does: when a part ends, it ends the others and starts all again."""

    def __init__(self, node: BftNode) -> None:
        self.node = node
        self.starts = 0
        self.failures: list[str] = []
        self._armed: tuple[str, str, bool] | None = None
        self._stuck = False
        kept = self

        class Struck(Application):
            @property
            def handlers(self) -> dict[str, Any]:
                return {call: kept.around(call, answer) for call, answer in super().handlers.items()}

        node.application = Struck

    @property
    def struck(self) -> bool:
        return self._armed is None

    async def arm(self, part: str, call: str, *, after: bool) -> None:
        self._armed = (part, call, after)
        if call == "info":  # CometBFT asks it when it starts
            await self.node.kill()

    def around(self, call: str, answer: Any) -> Any:
        async def answered(request: Any) -> Any:
            await self._strike(call, after=False)
            given = await answer(request)
            await self._strike(call, after=True)
            return given

        return answered

    async def _strike(self, call: str, *, after: bool) -> None:
        if self._armed is None or self._armed[1:] != (call, after):
            return
        part, self._armed = self._armed[0], None
        if part in {"geth", "all"}:
            self.node.geth.kill()
        if part in {"cometbft", "all"}:
            self.node.kill_cometbft()
        if part in {"bridge", "all"}:
            self._stuck = True
            await asyncio.Event().wait()  # it does nothing more

    async def _ended(self) -> bool:
        return self._stuck or not self.node.is_whole

    async def keep(self) -> None:
        while True:
            await until(self._ended, what="a part ends", timeout=600)
            if (failure := self.node.failure) is not None:
                self.failures.append(str(failure))
            self.node.kill_cometbft()  # at once: one whose application does not answer takes its time
            await self.node.end_bridge()
            await asyncio.to_thread(self.node.geth.kill, signal.SIGTERM)
            self._stuck = False
            self.starts += 1
            with contextlib.suppress(QuorumkitError):
                await self.node.start()


@contextlib.asynccontextmanager
async def kept(network: BftNetwork) -> AsyncIterator[list[Kept]]:
    nodes = [Kept(node) for node in network.nodes]
    async with network:
        keeping = [asyncio.create_task(node.keep()) for node in nodes]
        try:
            yield nodes
        finally:
            for task in keeping:
                task.cancel()
            results = await asyncio.gather(*keeping, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


class Sender:
    """Sends transactions of an account that has nothing, and knows which ones were acknowledged."""

    def __init__(self) -> None:
        self.account = Account.create()
        self.acknowledged: list[str] = []
        self._nonce = 0

    async def send(self, node: BftNode) -> None:
        transaction = {
            "chainId": CHAIN_ID, "nonce": self._nonce, "gas": 21000, "gasPrice": 0, "to": "0x" + "11" * 20, "value": 0,
        }  # fmt: skip
        raw = self.account.sign_transaction(transaction).raw_transaction.hex()
        with contextlib.suppress(RpcError):
            self.acknowledged.append(await node.call("eth_sendRawTransaction", "0x" + raw))
            self._nonce += 1

    async def all_mined(self, node: BftNode) -> bool:
        with contextlib.suppress(RpcError):
            return all([await node.call("eth_getTransactionReceipt", name) for name in self.acknowledged])
        return False


async def number_of(node: BftNode) -> int:
    """-1 while it does not answer."""
    with contextlib.suppress(RpcError):
        return await node.number()
    return -1


async def chain_of(node: BftNode, last: int) -> list[tuple[str, int]]:
    blocks = [await node.block(number) for number in range(1, last + 1)]
    return [(block["hash"], int(block["parentBeaconBlockRoot"], 16)) for block in blocks]


@pytest.fixture(scope="module")
def binaries(bft: Binary) -> tuple[Path, Path]:
    return bft.path, bft.beside["cometbft"].path


ROUNDS = int(os.environ.get("QUORUMKIT_BFT_CRASHES", "4"))
"""Of four crashes each; 10 go through all the ways."""


def test_every_part_killed_at_every_call_leaves_one_truth(binaries: tuple[Path, Path], tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)

    async def test() -> None:
        network = BftNetwork(tmp_path, geth=binaries[0], cometbft=binaries[1])
        sender = Sender()
        ways = chance.sample(WAYS, len(WAYS))
        async with kept(network) as nodes:
            await network.nodes[0].reached(2)
            known: list[tuple[str, int]] = []
            for number in range(ROUNDS):
                round_ = ways[number * 4 % len(ways) :][:4]
                print(number, round_, len(known))
                for node, (part, call, after) in zip(nodes, round_, strict=True):
                    await node.arm(part, call, after=after)
                await sender.send(chance.choice(network.nodes))

                async def all_struck() -> bool:
                    return all(node.struck for node in nodes)

                await until(all_struck, what=f"{round_}: all struck", timeout=120)
                top = max([await number_of(node) for node in network.nodes])

                async def level(top: int = top) -> bool:
                    return min([await number_of(node) for node in network.nodes]) >= max(top, 1) + 2

                await until(
                    level, what=f"{round_}: level at {top + 2}: {[node.node.said[-3:] for node in nodes]}", timeout=120
                )
                chains = [await chain_of(node, top) for node in network.nodes]
                assert chains.count(chains[0]) == 4
                assert chains[0][: len(known)] == known
                known = chains[0]
                heights = [height for _, height in known]
                assert heights == sorted(set(heights))
            # geth offers what it acknowledged to its pool again, but only 10 s after its start.
            await until(lambda: sender.all_mined(network.nodes[0]), what="all acknowledged are mined", timeout=90)
            print("starts", [node.starts for node in nodes], "failures", [node.failures for node in nodes])

    async def bounded() -> None:
        async with asyncio.timeout(900):
            await test()

    asyncio.run(bounded())
