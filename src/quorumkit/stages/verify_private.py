"""A private contract is read by its parties, and by nobody else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from quorumkit.contracts import storage_contract
from quorumkit.errors import RpcError
from quorumkit.node.status import NodeStatus
from quorumkit.rpc import Rpc
from quorumkit.stages.sender import first_free, own_account
from quorumkit.urls import shown_urls

_GAS = 300_000
_OVERLOOKED_AFTER = 5
_ACQUAINTED_WITHIN = 15.0
"""Seconds that transaction managers have to learn of each other: Tessera asks its peers every 5 s."""
_RETRY = 0.3  # seconds between two tries


@dataclass
class PrivateVerification:
    """What was found; field names are those of `verify --json`, under `private`."""

    ok: bool = False
    parties: list[str] = field(default_factory=list)
    reads: dict[str, int | None] = field(default_factory=dict)
    """What each node's contract answers; None where it has none, as every node but the parties should."""
    payloads: dict[str, bool] = field(default_factory=dict)
    """Whether a node's transaction manager hands the payload out."""


async def verify_private(connections: Mapping[str, Rpc], tm_keys: Mapping[str, str], value: int) -> PrivateVerification:
    """Creates a private `storage` that holds `value`, from one node for the next, and reads it from all. The one is the
    first whose account has nothing in the pool: only a node's own account can send what is private.

    `tm_keys` are the nodes' TM public keys by name; both mappings are in the order of the nodes.

    Raises:
        RpcError: the first node refuses the transaction, or a node cannot be asked.
    """
    names = list(connections)
    first = await first_free(connections)
    second = names[(names.index(first) + 1) % len(names)]
    result = PrivateVerification(parties=[first, second])
    sender = connections[first]
    account = await own_account(sender)
    transaction = {
        "from": account,
        "gas": hex(_GAS),
        "data": storage_contract().deploy_data(value),
        "privateFrom": tm_keys[first],
        "privateFor": [tm_keys[second]],
    }
    hash_ = await _send(sender, transaction)
    receipt = None
    looks = 0
    async with contextlib.aclosing(sender.heads()) as heads:
        async for _ in heads:
            if receipt := await sender.call("eth_getTransactionReceipt", hash_):
                break
            looks += 1
            if looks == _OVERLOOKED_AFTER:
                # GoQuorum's raft minter can overlook a transaction until another one comes: one that is in a block
                # already and still in the pool hides its account's later ones (raft/minter.go, commitTransactions).
                await sender.call("eth_sendTransaction", {"from": account, "to": account, "gas": hex(_GAS)})
    if receipt is None:
        raise RpcError("the node sends no more blocks")
    # What is on the chain is the payload's hash; only a party's manager gives what it stands for.
    payload_hash = (await sender.call("eth_getTransactionByHash", hash_))["input"]
    block, contract = int(receipt["blockNumber"], 16), receipt["contractAddress"]
    reads = await asyncio.gather(*(_read(rpc, contract, block, payload_hash) for rpc in connections.values()))
    for name, (read, payload) in zip(connections, reads, strict=True):
        result.reads[name], result.payloads[name] = read, payload
    result.ok = all(
        (result.reads[name], result.payloads[name]) == ((value, True) if name in result.parties else (None, False))
        for name in connections
    )
    return result


async def _send(sender: Rpc, transaction: Mapping[str, object]) -> str:
    """Sends it; again for a while, where the sender's manager does not know the party yet. What a manager refuses
    is stored neither with it nor on the chain."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _ACQUAINTED_WITHIN
    while True:
        try:
            return str(await sender.call("eth_sendTransaction", transaction, timeout=30))
        except RpcError:
            if loop.time() >= deadline:
                raise
        await asyncio.sleep(_RETRY)


async def ask_tm_keys(health_urls: Mapping[str, str], *, timeout: float) -> dict[str, str]:
    """The nodes' TM public keys as their node programs report them; none for nodes without a transaction manager.

    `health_urls` are where the programs serve their health, by name. Programs that are only starting are waited for.

    Raises:
        RpcError: one did not answer in that time.
    """
    import aiohttp

    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout

    async def ask(session: aiohttp.ClientSession, url: str) -> str | None:
        while True:
            try:
                async with session.get(f"{url.rstrip('/')}/status") as response:
                    (status,) = map(NodeStatus.from_json, await response.json(content_type=None))
                if status.started:
                    return status.tm_key
                reason = f"it is {status.state}"
            except (aiohttp.ClientError, OSError, ValueError, TypeError, AttributeError) as error:
                reason = str(error) or type(error).__name__
            if loop.time() >= deadline:
                shown = shown_urls([url])[url]
                raise RpcError(f"{shown}: does not report its node's state: {reason.replace(url, shown)}")
            await asyncio.sleep(_RETRY)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        keys = await asyncio.gather(*(ask(session, url) for url in health_urls.values()))
    return {name: key for name, key in zip(health_urls, keys, strict=True) if key}


async def _read(rpc: Rpc, contract: str, block: int, payload_hash: str) -> tuple[int | None, bool]:
    async with contextlib.aclosing(rpc.heads()) as heads:
        async for number in heads:
            if number >= block:
                break
    call = {"to": contract, "data": storage_contract().get_data()}
    read = await rpc.call("eth_call", call, hex(block))
    payload = "0x"
    with contextlib.suppress(RpcError):  # some versions answer with an error where there is none
        payload = await rpc.call("eth_getQuorumPayload", payload_hash)
    return (None if read == "0x" else int(read, 16)), payload not in ("0x", "", None)
