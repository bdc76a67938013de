"""Verification of a private contract, against nodes that show it to whom they should not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import pytest
from aiohttp import web

from quorumkit.errors import RpcError
from quorumkit.node.status import NodeStatus, State
from quorumkit.rpc import Rpc
from quorumkit.stages import verify_private as verifying
from quorumkit.stages.verify_private import PrivateVerification, ask_tm_keys, verify_private

KEYS = {"node1": "key1", "node2": "key2", "node3": "key3"}


class Network:
    """What the nodes share: one private transaction, in block 5."""

    def __init__(self, *, refusals: int = 0, overlooked: int = 0) -> None:
        self.refusals, self.overlooked = refusals, overlooked
        self.sent: list[dict[str, Any]] = []


class Node:
    """A client; `reads` is what its contract answers, None where it has none."""

    def __init__(self, network: Network, *, reads: int | None = None, busy: bool = False, ends: bool = False) -> None:
        self.network, self.reads, self.busy, self.ends = network, reads, busy, ends

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        answer: Callable[..., Any] = getattr(self, method)
        return answer(*params)

    def eth_accounts(self) -> list[str]:
        return ["0x" + "ab" * 20]

    def txpool_contentFrom(self, account: str) -> dict[str, Any]:
        return {"pending": {"1": {}} if self.busy else {}, "queued": {}}

    def eth_sendTransaction(self, transaction: dict[str, Any]) -> str:
        if self.network.refusals:
            self.network.refusals -= 1
            raise RpcError("Recipient not found for key")
        self.network.sent.append(transaction)
        return "0xaa"

    def eth_getTransactionReceipt(self, hash_: str) -> dict[str, Any] | None:
        if len(self.network.sent) <= self.network.overlooked:
            return None
        return {"blockNumber": hex(5), "contractAddress": "0xcc"}

    def eth_getTransactionByHash(self, hash_: str) -> dict[str, Any]:
        return {"input": "0xdigest"}

    def eth_call(self, transaction: dict[str, Any], block: str) -> str:
        assert (transaction["to"], block) == ("0xcc", hex(5))
        return "0x" if self.reads is None else hex(self.reads)

    def eth_getQuorumPayload(self, digest: str) -> str:
        assert digest == "0xdigest"
        if self.reads is None:
            raise RpcError("no such payload")
        return "0x1234"

    async def heads(self) -> AsyncGenerator[int]:
        if self.ends:
            return
        for number in range(4, 20):
            yield number
            await asyncio.sleep(0)


def verified(*reads: int | None, network: Network | None = None, **of_first: Any) -> PrivateVerification:
    network = network or Network()
    nodes = {f"node{n}": Node(network, reads=read, **(of_first if n == 1 else {})) for n, read in enumerate(reads, 1)}
    return asyncio.run(verify_private(cast("dict[str, Rpc]", nodes), KEYS, 42))


def test_its_parties_read_it_and_nobody_else() -> None:
    network = Network()
    result = verified(42, 42, None, network=network)
    assert result.ok
    assert (result.parties, result.reads) == (["node1", "node2"], {"node1": 42, "node2": 42, "node3": None})
    assert result.payloads == {"node1": True, "node2": True, "node3": False}
    (sent,) = network.sent
    assert (sent["privateFrom"], sent["privateFor"]) == ("key1", ["key2"])


@pytest.mark.parametrize("reads", [(42, 42, 42), (42, None, None), (42, 41, None), (None, 42, None)])
def test_anything_else_is_not_ok(reads: tuple[int | None, ...]) -> None:
    assert not verified(*reads).ok


def test_a_node_that_is_in_use_does_not_send() -> None:
    assert verified(None, 42, 42, busy=True).parties == ["node2", "node3"]


def test_managers_are_given_time_to_hear_of_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_RETRY", 0.001)
    assert verified(42, 42, None, network=Network(refusals=3)).ok
    monkeypatch.setattr(verifying, "_ACQUAINTED_WITHIN", 0.01)
    with pytest.raises(RpcError, match="Recipient not found"):
        verified(42, 42, None, network=Network(refusals=10_000))


def test_a_transaction_that_the_minter_overlooked_is_followed_by_another() -> None:
    network = Network(overlooked=1)
    assert verified(42, 42, None, network=network).ok
    assert [("privateFor" in one) for one in network.sent] == [True, False]


def test_a_node_that_sends_no_blocks_is_an_error() -> None:
    with pytest.raises(RpcError, match="sends no more blocks"):
        verified(42, 42, None, ends=True)


def asked(*states: State, timeout: float = 5, body: Any = None) -> dict[str, str]:
    """What a node program answers that is in one of these states after another."""

    async def ask() -> dict[str, str]:
        left = list(states)

        async def status(request: web.Request) -> web.Response:
            state = left.pop(0) if len(left) > 1 else left[0]
            one = NodeStatus("node1", 1, state=state, tm_key="key1" if state == "running" else None)
            return web.json_response([one.to_json()] if body is None else body)

        application = web.Application()
        application.router.add_get("/status", status)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        try:
            return await ask_tm_keys({"node1": f"http://{host}:{port}/"}, timeout=timeout)
        finally:
            await runner.cleanup()

    return asyncio.run(ask())


def test_a_node_program_gives_its_managers_key_once_its_client_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_RETRY", 0.001)
    assert asked("starting", "starting", "running") == {"node1": "key1"}
    assert asked("waiting") == {}  # it has no transaction manager


@pytest.mark.parametrize("body", [None, [], {}, [1], "x"])
def test_a_node_program_that_does_not_answer_is_an_error(body: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "_RETRY", 0.001)
    with pytest.raises(RpcError, match="does not report its node's state"):
        asked("starting", timeout=0.05, body=body)
