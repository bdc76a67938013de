"""What gas costs, and how much of it a block takes, on networks of real clients: before and after blocks were full."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from networks import RunningNetwork, destroy, eventually

from quorumkit.engines import Binary
from quorumkit.engines.geth.gas import LEAST_TIP, SUGGESTED_TIP
from quorumkit.errors import RpcError
from support.clique import on_clique

pytestmark = pytest.mark.network

GAS_LIMIT = 31_000_000
FULL_BLOCKS = 9
"""So many, that a base fee of 0 becomes 8 at least."""

NODES = (1, 2, 3)
OBSERVER = 3
INVALID = "0xfe"
"""As a contract's code it takes all gas there is."""

rich = Account.from_key("0x" + "11" * 32)


def network_of(path: Any, *, free: bool) -> Iterator[RunningNetwork]:
    network = RunningNetwork(path)
    path.mkdir()
    genesis: dict[str, Any] = {"gas_limit": GAS_LIMIT, "alloc": {rich.address: 10**20}}
    if free:
        genesis = {"gas_limit": GAS_LIMIT, "free_gas": True}
    spec = {"name": "gas", "nodes": {"validators": 2, "observers": 1}, "genesis": genesis}
    (path / "quorumkit.yaml").write_text(json.dumps(on_clique(spec)))
    try:
        network.up()
        yield network
    finally:
        destroy(path)


@pytest.fixture(scope="module")
def free(geth: Binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    yield from network_of(tmp_path_factory.mktemp("gas") / "free", free=True)


@pytest.fixture(scope="module")
def priced(geth: Binary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNetwork]:
    yield from network_of(tmp_path_factory.mktemp("gas") / "priced", free=False)


def send(network: RunningNetwork, node: int, key: Any, **fields: Any) -> str:
    """Sends a transaction through a node's HTTP port; its hash."""
    if "nonce" not in fields:
        fields["nonce"] = int(network.ask(node, "eth_getTransactionCount", key.address, "pending"), 16)
    transaction = {"to": rich.address, "value": 0, "gas": 21_000, "chainId": 1337} | fields
    raw = key.sign_transaction(transaction).raw_transaction
    answer: str = network.ask_http(node, "eth_sendRawTransaction", "0x" + raw.hex().removeprefix("0x"))
    return answer


def mined(network: RunningNetwork, hash_: str) -> int:
    """The block that a transaction is in, once all nodes have it."""

    def receipts() -> list[dict[str, Any]] | None:
        found = [network.ask(number, "eth_getTransactionReceipt", hash_) for number in NODES]
        return found if all(found) and len({receipt["blockHash"] for receipt in found}) == 1 else None

    return int(eventually(receipts, f"{hash_} on all nodes")[0]["blockNumber"], 16)


def fill_blocks(network: RunningNetwork, price: int) -> int:
    """Has some blocks in a row all their gas used; the last one's number."""
    first = int(network.ask(1, "eth_getTransactionCount", rich.address, "latest"), 16)
    hashes = [
        send(network, 1, rich, to=None, data=INVALID, gas=GAS_LIMIT, gasPrice=price, nonce=first + n)
        for n in range(FULL_BLOCKS)
    ]
    last = mined(network, hashes[-1])
    for number in (last - 1, last):
        assert int(network.ask(2, "eth_getBlockByNumber", hex(number), False)["gasUsed"], 16) == GAS_LIMIT
    return last


def wei(network: RunningNetwork, node: int, method: str) -> int:
    return int(network.ask_http(node, method), 16)


def test_free_gas_stays_free(free: RunningNetwork) -> None:
    """Nobody holds any ether but the validators' accounts, and nobody needs it; through whichever node."""
    last = fill_blocks(free, price=0)
    poor = Account.create()
    for node in NODES:
        assert wei(free, node, "eth_gasPrice") == 0
        assert wei(free, node, "eth_maxPriorityFeePerGas") == 0
        assert mined(free, send(free, node, poor, gasPrice=0)) > last
        # A tip that somebody gives teaches the client nothing.
        account = free.ask(node, "eth_accounts")[0]
        sent = free.ask(node, "eth_sendTransaction", {"from": account, "to": rich.address})
        assert mined(free, sent)
        assert int(free.ask(node, "eth_getTransactionByHash", sent)["gasPrice"], 16) == 0
    assert "baseFeePerGas" not in free.ask(1, "eth_getBlockByNumber", "latest", False)
    assert free.verify()["ok"]


def test_free_gas_is_free_again_after_a_restart(free: RunningNetwork) -> None:
    """What nobody has mined yet is, too: the account's earlier transaction comes only then."""
    poor = Account.create()
    waiting = send(free, OBSERVER, poor, gasPrice=0, nonce=1)
    free.on_node("node restart", "node1", "node2", "node3")
    eventually(free.complete, "all nodes again")
    sent = send(free, OBSERVER, poor, gasPrice=0, nonce=0)
    assert mined(free, sent) <= mined(free, waiting)


def test_what_pays_too_little_is_refused_at_every_door(priced: RunningNetwork) -> None:
    for node in NODES:
        for price in (0, 1, LEAST_TIP - 1):
            with pytest.raises(RpcError, match=f"underpriced: gas tip cap {price}, minimum needed {LEAST_TIP}"):
                send(priced, node, rich, gasPrice=price)
    assert priced.ask(1, "txpool_status") == {"pending": "0x0", "queued": "0x0"}


def test_what_a_node_takes_is_mined_after_blocks_were_full_too(priced: RunningNetwork) -> None:
    fill_blocks(priced, price=10**9)
    for node in NODES:
        assert wei(priced, node, "eth_maxPriorityFeePerGas") == SUGGESTED_TIP
        base = int(priced.ask(node, "eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        assert SUGGESTED_TIP <= wei(priced, node, "eth_gasPrice") <= SUGGESTED_TIP + base
        mined(priced, send(priced, node, rich, gasPrice=SUGGESTED_TIP))
        mined(priced, send(priced, node, rich, gasPrice=wei(priced, node, "eth_gasPrice")))
        # As Hardhat reckons: the tip that was usual in the last block that had one, and twice the next base fee.
        history = priced.ask_http(node, "eth_feeHistory", "0x4", "latest", [50])
        tips = [int(tip, 16) for (tip,) in history["reward"] if int(tip, 16)]
        assert min(tips) >= LEAST_TIP
        fee = {"maxPriorityFeePerGas": tips[-1], "maxFeePerGas": tips[-1] + 2 * int(history["baseFeePerGas"][-1], 16)}
        mined(priced, send(priced, node, rich, **fee))
    assert base < 10


@pytest.mark.parametrize("kind", ["free", "priced"])
def test_every_block_has_the_gas_limit_of_the_spec(kind: str, request: pytest.FixtureRequest) -> None:
    network: RunningNetwork = request.getfixturevalue(kind)
    eventually(lambda: network.height() >= 12, "some blocks")
    limits = {
        int(network.ask(2, "eth_getBlockByNumber", hex(n), False)["gasLimit"], 16) for n in range(network.height() + 1)
    }
    assert limits == {GAS_LIMIT}
