"""Who sends a check's transactions: a node's account only while nobody else uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any, cast

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import RpcError
from quorumkit.rpc import Rpc
from quorumkit.stages.sender import AccountSender, KeySender, choose_sender, first_free
from quorumkit.stages.transactions import key_of, signed_transaction

GAS_PRICE = 1000
RICH = 10**21


class Node:
    """A client; its fields say how its account is used."""

    def __init__(self, number: int, *, price: int = GAS_PRICE, balance: int = RICH) -> None:
        self.account = f"0x{number:040x}"
        self.price, self.balance = price, balance
        self.waiting: dict[str, dict[str, Any]] = {"pending": {}, "queued": {}}
        self.sent_lately = 0
        self.height = 10
        self.sent: list[dict[str, Any]] = []
        self.raw: list[str] = []
        self.errors: list[str] = []
        self.without: set[str] = set()
        self.given: dict[str, int] = {}

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        if method in self.without:
            raise RpcError(f"node: {method}: the method {method} does not exist/is not available")
        return getattr(self, method)(*params)

    def eth_gasPrice(self) -> str:
        return hex(self.price)

    def eth_chainId(self) -> str:
        return "0x539"

    def eth_accounts(self) -> list[str]:
        return [self.account]

    def eth_blockNumber(self) -> str:
        return hex(self.height)

    def eth_getBalance(self, account: str, block: str) -> str:
        return hex(self.balance if account == self.account else self.given.get(account, 0))

    def txpool_contentFrom(self, account: str) -> dict[str, Any]:
        return self.waiting

    def txpool_inspect(self) -> dict[str, Any]:
        return {
            part: {self.account.upper().replace("X", "x"): some} if some else {} for part, some in self.waiting.items()
        }

    def eth_getTransactionCount(self, account: str, block: str) -> str:
        if block == "pending":
            return hex(20 + len(self.waiting["pending"]))
        return hex(20 if block in ("latest", hex(self.height)) else 20 - self.sent_lately)

    def eth_sendTransaction(self, transaction: dict[str, Any]) -> str:
        self._fail()
        self.sent.append(transaction)
        return "0xd1"

    def eth_sendRawTransaction(self, raw: str) -> str:
        self._fail()
        self.raw.append(raw)
        return "0xe2"

    def _fail(self) -> None:
        if self.errors:
            raise RpcError(self.errors.pop(0))

    def eth_getTransactionByHash(self, hash_: str) -> dict[str, str]:
        return {"nonce": hex(20)}

    async def heads(self) -> AsyncGenerator[int]:
        while True:
            yield self.height
            await asyncio.sleep(0)


def chosen(*nodes: Node) -> Any:
    return asyncio.run(choose_sender(connections(*nodes), "node1"))


def connections(*nodes: Node) -> Mapping[str, Rpc]:
    return {f"node{number}": cast(Rpc, node) for number, node in enumerate(nodes, start=1)}


def busy(node: Node) -> Node:
    node.waiting["pending"] = {"20": {}}
    return node


def stuck(node: Node) -> Node:
    """With a transaction that waits for the one before it."""
    node.waiting["queued"] = {"21": {}}
    return node


def funding(funder: Node, node: Node) -> None:
    """What the one gives arrives at the other at once."""
    send = funder.eth_sendTransaction

    def sending(transaction: dict[str, Any]) -> str:
        node.given[transaction["to"]] = int(transaction["value"], 16)
        return send(transaction)

    funder.eth_sendTransaction = sending  # type: ignore[method-assign]


def test_an_idle_account_sends_by_itself() -> None:
    sender = chosen(Node(1), Node(2))
    assert isinstance(sender, AccountSender)
    assert sender.address == Node(1).account


@pytest.mark.parametrize(
    ("use", "without"),
    [
        (busy, set()),
        (stuck, set()),
        (busy, {"txpool_contentFrom"}),
        (stuck, {"txpool_contentFrom"}),
        (busy, {"txpool_contentFrom", "txpool_inspect"}),  # which tells of nobody's queue
    ],
)
def test_an_account_in_use_is_left_alone(use: Any, without: set[str]) -> None:
    first, second, third = use(Node(1)), busy(Node(2)), Node(3)
    first.without = without
    funding(third, first)
    sender = chosen(first, second, third)
    assert isinstance(sender, KeySender)
    assert first.sent == second.sent == []
    (given,) = third.sent
    assert given["to"] == sender.address
    assert int(given["value"], 16) == 400_000 * 2 * GAS_PRICE
    assert "nonce" not in given


def test_an_account_that_sent_a_moment_ago_is_in_use() -> None:
    first, second = Node(1), Node(2)
    first.sent_lately = 1
    funding(second, first)
    assert isinstance(chosen(first, second), KeySender)


def test_an_account_without_ether_is_given_some_by_another() -> None:
    observer, validator = Node(1, balance=0), Node(2)
    funding(validator, observer)
    assert isinstance(chosen(observer, validator), KeySender)


def test_where_gas_is_free_nobodys_account_is_used() -> None:
    node = Node(1, price=0, balance=0)
    sender = chosen(node)
    assert isinstance(sender, KeySender)
    assert asyncio.run(sender.send(to=None, data="0x00", gas=21_000)) == ("0xe2", 0)
    assert asyncio.run(sender.send(to=None, data="0x00", gas=21_000)) == ("0xe2", 1)
    assert node.sent == []
    assert len(node.raw) == 2


def test_the_only_account_is_shared() -> None:
    assert isinstance(chosen(busy(Node(1))), AccountSender)


def test_where_nobody_can_pay_it_is_told() -> None:
    with pytest.raises(RpcError, match="node1: no node's account has enough ether") as caught:
        chosen(Node(1, balance=0), Node(2, balance=5))
    assert "genesis.free_gas" in (caught.value.hint or "")


def test_a_nonce_that_another_took_is_not_the_last() -> None:
    """Whoever else sends from the account gets its nonces from the client too."""
    node = Node(1)
    node.errors = ["replacement transaction underpriced", "nonce too low: next nonce 3", "authentication needed: x"]
    hash_, nonce = asyncio.run(AccountSender(cast(Rpc, node), node.account).send(to=None, data="0x00", gas=1))
    assert (hash_, nonce) == ("0xd1", 20)
    assert [set(sent) for sent in node.sent] == [{"from", "gas", "data", "value"}]


def test_what_a_client_refuses_is_told() -> None:
    node = Node(1)
    node.errors = ["exceeds block gas limit"]
    with pytest.raises(RpcError, match="exceeds block gas limit"):
        asyncio.run(AccountSender(cast(Rpc, node), node.account).send(to=None, data="0x00", gas=1))


def test_a_key_that_was_just_given_ether_is_tried_until_the_pool_knows() -> None:
    node = Node(1)
    node.errors = ["insufficient funds for gas * price + value"] * 2
    sender = KeySender(cast(Rpc, node), key_of(b"\1" * 32), chain_id=1337, gas_price=1)
    assert asyncio.run(sender.send(to=None, data="0x00", gas=1)) == ("0xe2", 0)


def test_what_a_pool_dropped_is_sent_again() -> None:
    node = Node(1, price=0)
    sender = KeySender(cast(Rpc, node), key_of(b"\1" * 32), chain_id=1337, gas_price=0)
    asyncio.run(sender.send(to=None, data="0x00", gas=1))
    node.errors = ["already known"]
    asyncio.run(sender.send_again())
    asyncio.run(sender.send_again())
    assert len(set(node.raw)) == 1
    assert len(node.raw) == 2


def test_a_key_that_the_chain_does_not_know_sends_one_at_a_time() -> None:
    node = Node(1, price=0)
    sender = KeySender(cast(Rpc, node), key_of(b"\1" * 32), chain_id=1337, gas_price=0)
    asyncio.run(sender.send(to=None, data="0x00", gas=1))
    node.errors = [
        "in-flight transaction limit reached for delegated accounts",
        "already known",
        "gapped-nonce tx from delegated accounts",  # the pool lost the first one meanwhile
    ]
    assert asyncio.run(sender.send(to=None, data="0x01", gas=1)) == ("0xe2", 1)
    first, again, second = node.raw
    assert first == again != second


def test_a_private_contract_comes_from_a_node_whose_account_waits_for_nothing() -> None:
    assert asyncio.run(first_free(connections(stuck(Node(1)), Node(2)))) == "node2"
    assert asyncio.run(first_free(connections(stuck(Node(1)), busy(Node(2))))) == "node1"


@given(
    secret=st.integers(1, 2**255).map(lambda number: number.to_bytes(32, "big")),
    chain_id=st.integers(1, 2**62),
    nonce=st.integers(0, 2**32),
    price=st.integers(0, 2**64),
    gas=st.integers(21_000, 2**40),
    to=st.none() | st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex()),
    data=st.binary(max_size=300),
    value=st.integers(0, 2**80),
)
def test_a_signed_transaction_is_what_others_make_of_it(
    secret: bytes, chain_id: int, nonce: int, price: int, gas: int, to: str | None, data: bytes, value: int
) -> None:
    key = key_of(secret)
    account = Account.from_key(secret)
    assert key.address == account.address.lower()
    fields = {"nonce": nonce, "gasPrice": price, "gas": gas, "value": value, "data": data, "chainId": chain_id}
    expected = account.sign_transaction(fields | ({"to": bytes.fromhex(to[2:])} if to else {})).raw_transaction
    raw = signed_transaction(
        key, chain_id=chain_id, nonce=nonce, gas_price=price, gas=gas, to=to, data="0x" + data.hex(), value=value
    )
    assert bytes.fromhex(raw[2:]) == bytes(expected)
