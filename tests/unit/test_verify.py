"""Verification against nodes that answer what they should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self

import pytest
from eth_utils.crypto import keccak

from quorumkit.contracts import storage_contract
from quorumkit.errors import RpcError, WaitTimeoutError
from quorumkit.progress import silent
from quorumkit.stages.transactions import contract_address
from quorumkit.stages.verify import VALUE, Verification, verify

SENDER = "0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0"
CONTRACT = "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"
DEPLOYED, WRITTEN = "0x" + "d1" * 32, "0x" + "e2" * 32


def hash_of(number: int, fork: str = "main") -> str:
    return "0x" + keccak(text=f"{fork} {number}").hex()


class Chain:
    """One chain that all nodes share: the transactions are in blocks 4 and 5."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []


class FakeNode:
    """A client; its fields say what is wrong with it."""

    def __init__(
        self,
        chain: Chain,
        *,
        value: int = VALUE,
        fork: str = "main",
        heights: tuple[int, ...] = (3, 4, 5, 6),
        broken: str | None = None,
        status: str = "0x1",
        accounts: tuple[str, ...] = (SENDER,),
    ) -> None:
        self.chain, self.value, self.fork, self.heights = chain, value, fork, heights
        self.broken, self.status, self.accounts = broken, status, accounts
        self.closed = False
        self.height = heights[0]

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        if method == self.broken:
            raise RpcError(f"node: {method}: connection lost")
        answer: Callable[..., Any] = getattr(self, method)
        return answer(*params)

    def eth_accounts(self) -> list[str]:
        return list(self.accounts)

    def eth_gasPrice(self) -> str:
        return hex(1000)

    def eth_chainId(self) -> str:
        return hex(1337)

    def eth_blockNumber(self) -> str:
        return hex(self.height)

    def eth_getBalance(self, account: str, block: str) -> str:
        return hex(10**21)

    def eth_getTransactionCount(self, account: str, block: str) -> str:
        return "0x0"

    def txpool_contentFrom(self, account: str) -> dict[str, Any]:
        return {"pending": {}, "queued": {}}

    def eth_sendTransaction(self, transaction: dict[str, Any]) -> str:
        self.chain.sent.append(transaction)
        return DEPLOYED if len(self.chain.sent) == 1 else WRITTEN

    def eth_getTransactionByHash(self, hash_: str) -> dict[str, Any]:
        return {"nonce": "0x0"}

    def eth_getTransactionReceipt(self, hash_: str) -> dict[str, Any] | None:
        block = 4 if hash_ == DEPLOYED else 5
        if block > self.height:
            return None
        return {
            "contractAddress": CONTRACT if hash_ == DEPLOYED else None,
            "blockNumber": hex(block),
            "blockHash": hash_of(block, self.fork),
            "status": self.status,
            "transactionHash": hash_,
        }

    def eth_getBlockByNumber(self, number: str, full: bool) -> dict[str, Any] | None:
        return {"hash": hash_of(int(number, 16), self.fork)} if int(number, 16) <= self.height else None

    def eth_call(self, transaction: dict[str, Any], block: Any) -> str:
        assert transaction == {"to": CONTRACT, "data": storage_contract().get_data()}
        assert block == {"blockHash": hash_of(5, self.fork)}
        return hex(self.value) if self.value >= 0 else "0x"

    async def heads(self) -> AsyncGenerator[int]:
        for height in self.heights:
            self.height = height
            yield height
            await asyncio.sleep(0)
        while True:
            await asyncio.sleep(0.01)
            yield self.heights[-1]

    async def close(self) -> None:
        self.closed = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


def run(*nodes: FakeNode | RpcError, timeout: float = 5) -> Verification:
    def connect(node: FakeNode | RpcError) -> Callable[[], Any]:
        async def connecting() -> FakeNode:
            if isinstance(node, RpcError):
                raise node
            return node

        return connecting

    result = asyncio.run(
        verify({f"node{n}": connect(node) for n, node in enumerate(nodes, start=1)}, silent, timeout=timeout)
    )
    assert all(node.closed for node in nodes if isinstance(node, FakeNode))
    return result


def test_nodes_that_agree_are_verified() -> None:
    chain = Chain()
    answer = run(FakeNode(chain), FakeNode(chain), FakeNode(chain)).to_json()
    seconds = answer.pop("seconds")
    assert seconds >= 0
    assert answer == {
        "ok": True,
        "contract": CONTRACT,
        "value": 42,
        "reads": {"node1": 42, "node2": 42, "node3": 42},
        "block": 5,
        "block_hash": hash_of(5),
        "hashes_equal": True,
        "errors": {},
    }


def test_the_transactions_are_those_of_the_contract() -> None:
    chain = Chain()
    run(FakeNode(chain))
    create, write = chain.sent
    assert create["from"] == write["from"] == SENDER
    assert create["data"] == storage_contract().bytecode + f"{0:064x}"
    assert "to" not in create
    assert write["to"] == CONTRACT
    assert "nonce" not in write  # others may send from the account at the same time
    assert write["data"] == storage_contract().set_selector + f"{42:064x}"


@pytest.mark.parametrize("value", [41, 0, -1, 2**256 - 1])
def test_another_value_is_not_ok(value: int) -> None:
    chain = Chain()
    answer = run(FakeNode(chain), FakeNode(chain, value=value))
    assert answer.ok is False
    assert answer.reads == {"node1": 42, "node2": max(value, 0)}
    assert answer.hashes_equal is True


def test_another_block_at_that_height_is_not_ok() -> None:
    chain = Chain()
    answer = run(FakeNode(chain), FakeNode(chain, fork="other"), timeout=0.2)
    assert answer.ok is False
    assert answer.hashes_equal is False
    assert answer.reads == {"node1": 42, "node2": 42}


def test_a_node_that_cannot_be_reached_is_not_ok() -> None:
    chain = Chain()
    answer = run(FakeNode(chain), RpcError("node2: not reachable"), FakeNode(chain))
    assert answer.ok is False
    assert answer.reads == {"node1": 42, "node2": None, "node3": 42}
    assert answer.errors == {"node2": "node2: not reachable"}
    assert answer.block == 5


@pytest.mark.parametrize("method", ["eth_getBlockByNumber", "eth_call"])
def test_a_node_that_is_lost_meanwhile_is_not_ok(method: str) -> None:
    chain = Chain()
    answer = run(FakeNode(chain), FakeNode(chain, broken=method))
    assert answer.ok is False
    assert answer.reads == {"node1": 42, "node2": None}
    assert list(answer.errors) == ["node2"]


def test_a_node_that_stays_behind_costs_no_others_answer() -> None:
    chain = Chain()
    answer = run(FakeNode(chain), FakeNode(chain, heights=(2, 3)), FakeNode(chain), timeout=0.2)
    assert answer.ok is False
    assert answer.reads == {"node1": 42, "node2": None, "node3": 42}


def test_a_node_whose_block_is_taken_away_again_is_waited_for() -> None:
    """A chain that is shorter and heavier makes the height fall."""

    class Falling(FakeNode):
        async def heads(self) -> AsyncGenerator[int]:
            for told, height in ((6, 3), (6, 6)):
                self.height = height
                yield told

    chain = Chain()
    answer = run(FakeNode(chain), Falling(chain))
    assert answer.ok is True


def test_without_the_first_node_there_is_nothing_to_verify() -> None:
    with pytest.raises(RpcError, match="node1, which is to send the transactions: node1: not reachable"):
        run(RpcError("node1: not reachable"), FakeNode(Chain()))


def test_a_first_node_without_an_account_is_told() -> None:
    with pytest.raises(RpcError, match="has no account"):
        run(FakeNode(Chain(), accounts=()))


def test_a_transaction_that_fails_is_told() -> None:
    with pytest.raises(RpcError, match="failed in its block"):
        run(FakeNode(Chain(), status="0x0"))


def test_blocks_that_do_not_come_are_told() -> None:
    with pytest.raises(WaitTimeoutError, match="did not get into a block within") as caught:
        run(FakeNode(Chain(), heights=(3,)), timeout=0.1)
    assert caught.value.hint == "blocks may have stopped: see its log and its peers"


@pytest.mark.parametrize(
    ("nonce", "address"),
    [
        (0, "0xcd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"),
        (1, "0x343c43a37d37dff08ae8c4a11544c718abb4fcf8"),
        (2, "0xf778b86fa74e846c4f0a1fbd1335fe81c00a0c91"),
        (3, "0xfffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"),
    ],
)
def test_a_contracts_address_follows_from_sender_and_nonce(nonce: int, address: str) -> None:
    assert contract_address(SENDER, nonce) == address


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 65535, 2**32])
def test_a_contracts_address_is_what_others_make_of_it(nonce: int) -> None:
    import rlp  # type: ignore[import-untyped]

    expected = keccak(rlp.encode([bytes.fromhex(SENDER[2:]), nonce]))[12:].hex()
    assert contract_address(SENDER, nonce) == "0x" + expected
