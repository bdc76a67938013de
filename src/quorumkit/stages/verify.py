"""The definition of done: a contract created through one node is read back with its value from every other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from quorumkit.contracts import storage_contract
from quorumkit.errors import QuorumkitError, RpcError, WaitTimeoutError
from quorumkit.progress import Progress
from quorumkit.rpc import Rpc
from quorumkit.rpc.base import expecting
from quorumkit.stages.sender import DEPLOY_GAS, SET_GAS, Sender, choose_sender, when_ready
from quorumkit.stages.transactions import contract_address
from quorumkit.stages.verify_private import PrivateVerification, verify_private

VALUE = 42
TIMEOUT = 60.0

Connect = Callable[[], Awaitable[Rpc]]


@dataclass
class Verification:
    """What was found; field names are those of `verify --json`."""

    ok: bool = False
    contract: str | None = None
    value: int = VALUE
    reads: dict[str, int | None] = field(default_factory=dict)
    """What each node answered, by name; None where it could not be asked."""
    block: int | None = None
    """The height at which all were read."""
    block_hash: str | None = None
    hashes_equal: bool = False
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    """Why a node could not be asked, by name."""
    private: PrivateVerification | None = None
    """Of a private contract, where the network has transaction managers."""

    def to_json(self) -> dict[str, Any]:
        value = asdict(self)
        if self.private is None:
            del value["private"]
        return value


async def verify(
    nodes: Mapping[str, Connect],
    progress: Progress,
    *,
    timeout: float = TIMEOUT,
    tm_keys: Mapping[str, str] | None = None,
    look: str = "its log and its peers",
) -> Verification:
    """Deploys `storage` through the first of `nodes`, sets 42, and reads it from all at the same block.

    It works beside whatever else the network is used for (see `sender`). A node that cannot be asked makes the result
    not ok; so does one that answers another value, or has another block at that height. `look` is where a person sees
    why blocks stop.

    Raises:
        RpcError: the first node cannot be reached or refuses the transactions.
        WaitTimeoutError: the transactions did not get into a block in time.
    """
    began = time.monotonic()
    result = Verification(reads=dict.fromkeys(nodes))
    first = next(iter(nodes))
    connections: dict[str, Rpc] = {}
    try:
        outcomes = await asyncio.gather(*(connect() for connect in nodes.values()), return_exceptions=True)
        for name, outcome in zip(nodes, outcomes, strict=True):
            if isinstance(outcome, QuorumkitError):
                result.errors[name] = outcome.message
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                connections[name] = outcome
        if first not in connections:
            raise RpcError(f"{first}, which is to send the transactions: {result.errors[first]}")
        progress("deploying the storage contract")
        try:
            async with asyncio.timeout(timeout):
                with expecting(first):
                    sender = await choose_sender(connections, first)
                    hashes = await _send(sender)
                    await _receipts(connections[first], hashes, sender)
        except TimeoutError:
            raise WaitTimeoutError(
                f"{first}: the transactions did not get into a block within {timeout:g} s",
                hint=f"blocks may have stopped: see {look}",
            ) from None
        progress("reading it from every node")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                with expecting(first):
                    await _agree(connections, first, hashes, result)
        result.ok = not result.errors and result.hashes_equal and all(value == VALUE for value in result.reads.values())
        if result.ok and tm_keys and len(nodes) > 1:
            progress("creating a private contract")
            try:
                async with asyncio.timeout(timeout):
                    with expecting(first):
                        result.private = await verify_private(connections, tm_keys, VALUE)
            except TimeoutError:
                raise WaitTimeoutError(
                    f"{first}: the private transaction did not get into a block within {timeout:g} s",
                    hint=f"see {look}",
                ) from None
            result.ok = result.private.ok
    finally:
        await asyncio.gather(*(connection.close() for connection in connections.values()))
    result.seconds = round(time.monotonic() - began, 3)
    return result


async def _send(sender: Sender) -> list[str]:
    """Sends both transactions at once; their hashes. The contract's address follows from sender and nonce, so that the
    second need not wait until the first is in a block."""
    contract = storage_contract()
    deployed, nonce = await sender.send(to=None, data=contract.deploy_data(0), gas=DEPLOY_GAS)
    stands = contract_address(sender.address, nonce)
    written, _ = await sender.send(to=stands, data=contract.set_data(VALUE), gas=SET_GAS)
    return [deployed, written]


async def _receipts(rpc: Rpc, hashes: list[str], sender: Sender) -> list[dict[str, Any]]:
    """The receipts of the transactions, once all are in blocks."""
    async with contextlib.aclosing(rpc.heads()) as heads:
        async for _ in heads:
            if receipts := await _receipts_now(rpc, hashes):
                for receipt in receipts:
                    if int(receipt["status"], 16) != 1:
                        raise RpcError(f"transaction {receipt['transactionHash']} failed in its block")
                return receipts
            await sender.send_again()
    raise RpcError("the node sends no more blocks")


async def _receipts_now(rpc: Rpc, hashes: list[str]) -> list[dict[str, Any]] | None:
    """The receipts of the transactions, if all are in blocks."""
    receipts = [await when_ready(rpc.call("eth_getTransactionReceipt", hash_)) for hash_ in hashes]
    return receipts if all(receipts) else None


async def _agree(connections: dict[str, Rpc], first: str, hashes: list[str], result: Verification) -> None:
    """Fills in the result once all nodes have the same block where the last transaction is, or at the time-out.

    A chain's newest blocks can still be replaced: after a difference, receipt and hashes are asked again at the next
    head until they agree.
    """
    async with contextlib.aclosing(connections[first].heads()) as heads:
        async for _ in heads:
            receipts = await _receipts_now(connections[first], hashes)
            if receipts is None:
                continue
            result.contract = receipts[0]["contractAddress"]
            result.block, result.block_hash = int(receipts[1]["blockNumber"], 16), receipts[1]["blockHash"]
            asked = [name for name in connections if name not in result.errors]
            seen = await asyncio.gather(*(_read_into(result, name, connections[name]) for name in asked))
            result.hashes_equal = set(seen) - {None} == {result.block_hash}
            if result.hashes_equal:
                return


async def _read_into(result: Verification, name: str, rpc: Rpc) -> str | None:
    """Notes what a node answers, as soon as it does, so that one that is late costs no other's answer; its block
    hash."""
    assert result.block is not None
    try:
        with expecting(name):
            block_hash, result.reads[name] = await _read(rpc, result.contract, result.block)
    except QuorumkitError as error:
        result.errors[name] = error.message
        return None
    return block_hash


async def _read(rpc: Rpc, contract: str | None, block: int) -> tuple[str, int]:
    """The node's block hash at that height and the contract's value in that very block (EIP-1898), once it is there."""
    found = None
    async with contextlib.aclosing(rpc.heads()) as heads:
        async for number in heads:
            # A heavier chain that is shorter can take the block away again.
            if number >= block and (found := await rpc.call("eth_getBlockByNumber", hex(block), False)):
                break
    if found is None:
        raise RpcError("the node sends no more blocks")
    block_hash = str(found["hash"])
    call = {"to": contract, "data": storage_contract().get_data()}
    value = await rpc.call("eth_call", call, {"blockHash": block_hash})
    return block_hash, int(value, 16) if value != "0x" else 0
