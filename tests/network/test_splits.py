"""Clique validators on branches of equal weight, on real clients: they find together again by themselves."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from networks import RunningNetwork, brought_up, eventually

from quorumkit.engines import Binary
from quorumkit.rpc import IpcRpc
from support.clique import CLIQUE
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = pytest.mark.network


NODES = (1, 2, 3, 4)


def head(network: RunningNetwork, number: int) -> dict[str, Any]:
    block: dict[str, Any] = network.ask(number, "eth_getBlockByNumber", "latest", False)
    return block


class Halves:
    """Two halves of the validators, neighbours by their turns, and the connections between them."""

    def __init__(self, network: RunningNetwork) -> None:
        self.network = network
        self.status = network.status()
        accounts = {self.status[f"node{number}"]["account"].lower(): number for number in NODES}
        turns = [accounts[signer] for signer in sorted(network.ask(1, "clique_getSigners"))]
        self.halves = turns[:2], turns[2:]

    def cut(self) -> None:
        self._tell_all("admin_removeTrustedPeer", "admin_removePeer")

    def join(self) -> None:
        self._tell_all("admin_addTrustedPeer", "admin_addPeer")

    def _tell_all(self, *methods: str) -> None:
        """Both sides of each connection, all at once: the next block comes in a second."""

        async def tell(number: int, others: list[int]) -> None:
            async with await IpcRpc.connect(self.network.node(number) / "data/geth.ipc") as rpc:
                for method in methods:
                    for other in others:
                        await rpc.call(method, self.status[f"node{other}"]["enode"])

        async def everyone() -> None:
            one, other = self.halves
            pairs = [(number, theirs) for ours, theirs in ((one, other), (other, one)) for number in ours]
            await asyncio.gather(*(tell(number, theirs) for number, theirs in pairs))

        asyncio.run(everyone())

    def can_part_evenly(self) -> bool:
        """Whether all turns were kept, and the last block is one after which the two halves go on by the same weight:
        one seals the next in its turn, which weighs 2, and the other two out of turn, which weigh 1 each."""
        top = self.network.height()
        blocks = [self.network.ask(1, "eth_getBlockByNumber", hex(n), False) for n in range(max(1, top - 3), top + 1)]
        return top % 2 == 0 and top > 4 and all(block["difficulty"] == "0x2" for block in blocks)

    def stand_still(self, height: int) -> bool:
        """Whether each half has sealed what it can seal alone: one block, or two."""
        return sorted({int(head(self.network, number)["number"], 16) for number in NODES}) == [height + 1, height + 2]


def pay_oneself(network: RunningNetwork, number: int, account: str) -> str:
    return str(network.ask(number, "eth_sendTransaction", {"from": account, "to": account, "gas": hex(21_000)}))


@pytest.mark.parametrize("engine", ["geth", pytest.param("goquorum", marks=needs_goquorum)])
def test_two_halves_of_equal_weight_find_together_and_lose_no_transaction(
    tmp_path: Path, geth: Binary, engine: str
) -> None:
    arguments = list(CLIQUE) if engine == "geth" else [
        "--engine", "goquorum", "--consensus", "clique", "--engine-binary", str(GOQUORUM),
    ]  # fmt: skip
    with brought_up(tmp_path / "bank", "-n", "4", *arguments) as network:
        halves = Halves(network)
        eventually(halves.can_part_evenly, "all turns are kept", pause=0.02)
        halves.cut()
        height = network.height() // 2 * 2
        accounts = {number: halves.status[f"node{number}"]["account"] for number in NODES}
        sent = [pay_oneself(network, number, account) for number, account in accounts.items()]
        eventually(lambda: halves.stand_still(height), "both halves have sealed what they can alone")
        heads = [head(network, number) for number in NODES]
        assert len({block["totalDifficulty"] for block in heads}) == 1
        winner, loser = sorted({block["hash"] for block in heads})
        won = int(next(block["number"] for block in heads if block["hash"] == winner), 16)

        halves.join()
        eventually(lambda: all(network.height(number) > height + 6 for number in NODES), "all go on")
        for number in NODES:
            assert network.block_hash(number, won) == winner
            assert loser not in {network.block_hash(number, height + 1), network.block_hash(number, height + 2)}
        eventually(lambda: all(network.ask(1, "eth_getTransactionReceipt", each) for each in sent), "all transactions")
        eventually(network.complete, "all run, and are connected")
        assert not list(network.path.glob("nodes/*/data/own-branch.rlp"))
