"""Clique validators on branches of equal weight, on real geth: they find together again by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from networks import RunningNetwork, brought_up, eventually

from quorumkit.engines import Binary

pytestmark = pytest.mark.network

NODES = (1, 2, 3, 4)


def head(network: RunningNetwork, number: int) -> dict[str, Any]:
    block: dict[str, Any] = network.ask(number, "eth_getBlockByNumber", "latest", False)
    return block


def in_turn(network: RunningNetwork) -> list[int]:
    """The nodes by the order of their turns."""
    accounts = {network.status()[f"node{number}"]["account"].lower(): number for number in NODES}
    return [accounts[signer] for signer in sorted(network.ask(1, "clique_getSigners"))]


def between(network: RunningNetwork, ours: list[int], theirs: list[int], *methods: str) -> None:
    """Calls these on both sides of each connection between the two groups."""
    status = network.status()
    for group, others in ((ours, theirs), (theirs, ours)):
        for number in group:
            for other in others:
                for method in methods:
                    network.ask(number, method, status[f"node{other}"]["enode"])


def pay_oneself(network: RunningNetwork, number: int) -> str:
    account = network.status()[f"node{number}"]["account"]
    return str(network.ask(number, "eth_sendTransaction", {"from": account, "to": account, "gas": hex(21_000)}))


def split(network: RunningNetwork, ours: list[int], theirs: list[int]) -> dict[str, int]:
    """Has each half of the validators go on alone until it cannot; the transactions that were sent meanwhile, with who
    sent them.

    Where all turns were kept before, one half has sealed the last block and seals the next in its turn, which weighs 2;
    the other seals two out of turn, which weigh 1 each.
    """
    def turns_are_kept() -> bool:
        top = network.height()
        blocks = [network.ask(1, "eth_getBlockByNumber", hex(number), False) for number in range(top - 4, top + 1)]
        return all(block["difficulty"] == "0x2" for block in blocks)

    eventually(turns_are_kept, "all turns are kept")
    between(network, ours, theirs, "admin_removeTrustedPeer", "admin_removePeer")
    sent = {pay_oneself(network, number): number for number in NODES}
    def stand_still() -> bool:
        before = [head(network, number)["hash"] for number in NODES]
        eventually(lambda: True, "")
        import time

        time.sleep(4)
        return before == [head(network, number)["hash"] for number in NODES]

    eventually(stand_still, "both halves stand still")
    return sent


def test_two_halves_of_equal_weight_find_together_and_lose_no_transaction(tmp_path: Path, geth: Binary) -> None:
    with brought_up(tmp_path / "bank", "-n", "4") as network:
        order = in_turn(network)
        ours, theirs = order[0::2], order[1::2]
        for attempt in range(5):
            sent = split(network, ours, theirs)
            heads = {number: head(network, number) for number in NODES}
            weights = {block["totalDifficulty"] for block in heads.values()}
            hashes = {block["hash"] for block in heads.values()}
            print(attempt, {n: (int(b["number"], 16), b["hash"][:8], int(b["totalDifficulty"], 16)) for n, b in heads.items()})
            between(network, ours, theirs, "admin_addTrustedPeer", "admin_addPeer")
            if len(weights) == 1 and len(hashes) == 2:
                break
            eventually(network.complete, "together again")
        assert len(weights) == 1
        winner = min(hashes)
        stopped = max(int(block["number"], 16) for block in heads.values())
        eventually(lambda: network.height() > stopped + 4, "it goes on")
        for number in NODES:
            eventually(lambda number=number: network.height(number) > stopped + 4, f"node{number} goes on")
        won = next(block for block in heads.values() if block["hash"] == winner)
        assert {network.block_hash(number, int(won["number"], 16)) for number in NODES} == {winner}
        for transaction, number in sent.items():
            eventually(lambda t=transaction: network.ask(1, "eth_getTransactionReceipt", t), f"node{number}'s transaction")
        eventually(network.complete, "all run")
        print(network.last_words())
