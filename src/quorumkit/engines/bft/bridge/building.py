"""How geth builds a block for us to propose."""

from __future__ import annotations

import asyncio
from typing import Any

from quorumkit.engines.bft.bridge.engine_api import Geth
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.payload import BEACON_ROOT, Payload, beacon_root, most_gas_for_free, prev_randao
from quorumkit.errors import RpcError


async def build(
    geth: Geth, parent: Head, *, timestamp: int, height: int, fee_recipient: str, wait: float, free_gas: bool = False
) -> Payload | None:
    """A payload on `parent`, which must be geth's head; None: geth's head is another one.

    `wait` is what a geth is given that does not tell when a block is full. With `free_gas` it has no more in it than
    keeps gas free (`payload.most_gas_for_free`).

    Raises:
        RpcError: geth refused.
    """
    root = beacon_root(height)
    attributes: dict[str, Any] = {
        "timestamp": hex(timestamp),
        "prevRandao": prev_randao(parent.hash, height),
        "suggestedFeeRecipient": fee_recipient,
        "withdrawals": [],
        BEACON_ROOT: root,
    }
    if (await geth.head()).hash != parent.hash:
        return None
    envelope = await geth.build_now(parent.hash, attributes) or await _build_in(wait, geth, parent, attributes)
    if envelope is not None and free_gas:
        envelope = await _with_less(envelope, geth, parent, attributes)
    if envelope is None:
        return None
    fields = envelope["executionPayload"] | {BEACON_ROOT: root}
    payload = Payload(fields=fields, requests=tuple(envelope.get("executionRequests") or ()), mark=float(timestamp))
    if payload.parent_hash != parent.hash:
        return None
    return payload


async def _with_less(
    envelope: dict[str, Any], geth: Geth, parent: Head, attributes: dict[str, Any]
) -> dict[str, Any] | None:
    """The same block with as many of its transactions, from the first on, as keep gas free; the rest stay in the pool
    for the next ones."""
    while True:
        block = envelope["executionPayload"]
        used, most = int(block["gasUsed"], 16), most_gas_for_free(int(block["gasLimit"], 16))
        if used <= most:
            return envelope
        transactions = block["transactions"]
        kept = transactions[: min(len(transactions) - 1, len(transactions) * most // used)]
        smaller = await geth.build_now(parent.hash, attributes, kept)
        if smaller is None:
            return None
        envelope = smaller


async def _build_in(wait: float, geth: Geth, parent: Head, attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The way of the Engine API: geth answers with what it has then, and that is an empty block until the first full
    one is built. It builds no second time for the same attributes."""
    verdict = await geth.forkchoice(parent.hash, attributes=attributes)
    if not verdict.valid:
        raise RpcError(f"geth: no payload: {verdict.status} ({verdict.reason})")
    if verdict.payload_id is None:
        return None
    await asyncio.sleep(wait)
    return await geth.built(verdict.payload_id)
