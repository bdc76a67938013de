"""How geth is brought to the block that the validators decided last: after each of its starts, and when it lost blocks.

A geth that was killed has lost its last blocks, or all of them; one whose consensus store was restored from an older
copy is ahead. Nothing it has is trusted to be there: each step looks where the head is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from quorumkit.engines.bft.bridge.block_store import BlockStore
from quorumkit.engines.bft.bridge.engine_api import ExecutionError, Geth, GethGoneError
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.remembered import Committed
from quorumkit.errors import RpcError

Say = Callable[[str, str], None]

_FAR = 500  # blocks: more than these are fetched from peers rather than replayed one by one by CometBFT
_MOVE_EVERY = 32  # payloads between two moves of the head: 128 without one, and the path scheme loses the head's state
_PEER_RETRY = 0.4  # seconds
_PEER_PATIENCE = 8.0  # seconds without any progress after which no peer is expected to have a block
_PATIENCE_BELOW_BASE = 60.0  # seconds; nobody but a peer can help then


async def greet(geth: Geth, *, free_gas: bool) -> None:
    """Makes sure that geth is new enough, and has it take transactions that pay nothing, if gas is free.

    Raises:
        ExecutionError: it is too old.
    """
    missing = await geth.missing()
    if missing:
        raise ExecutionError(
            f"this geth is too old for the network's forks: it does not have {', '.join(missing)}",
            hint="run the release that this version of Quorumkit names",
        )
    if free_gas:
        # No flag does it: --miner.gasprice 0 becomes 1,000,000 wei. geth forgets it with each start.
        await geth.call("miner_setGasPrice", "0x0")


async def wake(geth: Geth) -> Head:
    """Names geth's own newest block to it. Until that was done once it counts itself as not synced: it answers VALID to
    other heads without moving there, and takes no transactions from peers."""
    head = await geth.head()
    verdict = await geth.forkchoice(head.hash, final=False)
    if not verdict.valid:
        raise ExecutionError(f"geth does not take its own newest block, number {head.number}, as its head: {verdict}")
    return head


async def climb(geth: Geth, head: Head, *, highest: int | None = None) -> Head:
    """Blocks can outlive a head that fell back: moves it to the highest of geth's own that was decided at a consensus
    height of at most `highest`, which it executes again. Returns where the head is."""
    top = head
    step = 1
    while step:
        block = await geth.at(top.number + step)
        if block is not None and block.number > top.number and (highest is None or block.height <= highest):
            top, step = block, step * 2
        else:
            step //= 2
    if top.number > head.number and await geth.moves_to(top.hash, final=False):
        return top
    return head


async def first_head(geth: Geth, last: Committed | None, *, nothing_yet: bool, say: Say) -> Head:
    """The block from which consensus goes on: the last one that was committed, as far as geth has it. CometBFT replays
    what is missing.

    geth may stay ahead of it. `nothing_yet`: CometBFT's store is empty.

    Raises:
        ExecutionError: geth is behind all that CometBFT has kept, and no peer has what is missing.
    """
    head = await wake(geth)
    if nothing_yet:
        first = await geth.at(0)
        if first is None:
            raise ExecutionError("geth has no first block")
        if head.number:
            say("WARN", f"geth has {head.number} blocks, CometBFT's store is empty: consensus begins at the first one")
        return first
    if last is None:
        return await climb(geth, head)
    return await _last_committed(geth, head, last, say)


async def _last_committed(geth: Geth, head: Head, last: Committed, say: Say) -> Head:
    """The block that was committed last, or how near geth comes to it. `head` is geth's."""
    known = head if head.hash == last.hash else await geth.find(last.hash)
    if known is not None:
        if await _is_ahead(geth, known, head):
            if head.number > known.number:
                say("WARN", f"geth is at block {head.number}, CometBFT's store at {known.number}: it is an older copy")
            return known
        if await geth.moves_to(known.hash, final=False):
            return known
    head = await climb(geth, head, highest=last.height)
    return head if head.hash == last.hash else await _from_others(geth, head, last, say)


async def _from_others(geth: Geth, head: Head, last: Committed, say: Say) -> Head:
    """geth does not have the block that was committed last. Few blocks CometBFT replays faster than a peer is found;
    but it has kept none below its base."""
    below = head.height < last.base - 1
    if not below and last.height - head.height <= _FAR:
        say("WARN", f"geth lost the blocks after number {head.number}: CometBFT gives them to it again")
        return await _not_above(geth, head, last.height)
    say("WARN", f"geth lost the blocks after number {head.number}: it asks its peers for them")
    if await fetch(geth, last.hash, patience=_PATIENCE_BELOW_BASE if below else _PEER_PATIENCE):
        return await geth.head()
    head = await geth.head()
    if head.height < last.base - 1:
        raise ExecutionError(
            f"geth is at block {head.number} (consensus height {head.height}), CometBFT kept what was decided from"
            f" height {last.base} on, and no peer has the blocks in between",
            hint="start its peers; or, if they do not have them either, have the node join anew: move"
            " data/geth/chaindata and cometbft/data away, but keep cometbft/data/priv_validator_state.json",
        )
    return await _not_above(geth, head, last.height)


async def _not_above(geth: Geth, head: Head, height: int) -> Head:
    """The newest block of geth's chain that was decided at a consensus height of at most `height`."""
    return head if head.height <= height else await block_at(geth, height)


async def block_at(geth: Geth, height: int) -> Head:
    """The newest block of geth's chain that was decided at that consensus height or before."""
    low, high = 0, (await geth.head()).number
    while low < high:
        middle = (low + high + 1) // 2
        block = await geth.at(middle)
        if block is not None and block.height <= height:
            low = middle
        else:
            high = middle - 1
    found = await geth.at(low)
    if found is None:
        raise ExecutionError(f"geth does not have block {low} of its own chain")
    return found


async def _is_ahead(geth: Geth, block: Head, head: Head) -> bool:
    """Whether the block is in geth's chain, below its head."""
    if block.number > head.number:
        return False
    own = await geth.at(block.number)
    return own is not None and own.hash == block.hash


async def is_ahead(geth: Geth, block: Head) -> bool:
    """Whether the block is in geth's chain, and its head the same or above."""
    return await _is_ahead(geth, block, await geth.head())


async def rewind(geth: Geth, block: Head) -> None:
    """Takes what is above that block of its own chain out of geth. An ordinary move does not: geth does not go back
    behind a final block.

    Raises:
        ExecutionError: it did not go there.
    """
    await geth.set_head(block.number)
    if not await geth.moves_to(block.hash):
        head = await geth.head()
        raise ExecutionError(f"geth was to go back to block {block.number} and went to {head.number}")


async def fetch(geth: Geth, block_hash: str, *, patience: float) -> bool:
    """Has geth fetch a block, and all below it that it lacks, from its peers, and make it the head. Whether it did:
    False after `patience` seconds without progress.

    The block's hash is the trust: it was decided by the validators, and what is below hangs on it.
    """
    progress, since = None, time.monotonic()
    while not await geth.moves_to(block_hash, final=False):
        now = ((await geth.head()).number, await geth.syncing())
        if now != progress:
            progress, since = now, time.monotonic()
        elif time.monotonic() - since > patience:
            return False
        await asyncio.sleep(_PEER_RETRY)
    return True


async def restore(geth: Geth, store: BlockStore, target: Head, say: Say) -> None:
    """Brings geth's head back to `target`, the block that was committed last: forward with its own blocks, with those
    that CometBFT has, with those of its peers; or back.

    Raises:
        ExecutionError: in no way.
    """
    head = await geth.head()
    if head.hash == target.hash:
        return
    known = await geth.find(target.hash)
    if known is not None:
        if await _is_ahead(geth, known, head):
            await rewind(geth, known)
            return
        if await geth.moves_to(known.hash):
            return
    head = await climb(geth, head, highest=target.height)
    say("WARN", f"geth is at block {head.number}, not {target.number}: CometBFT gives it what it lost")
    missing = "some blocks"
    try:
        await _feed(geth, store, head, target)
    except GethGoneError:
        raise
    except RpcError as error:
        missing = error.message
    if await geth.moves_to(target.hash):
        return
    say("WARN", f"{missing}: geth asks its peers")
    if not await fetch(geth, target.hash, patience=_PEER_PATIENCE):
        raise ExecutionError(
            f"geth lost the blocks after number {(await geth.head()).number}, and neither CometBFT nor a peer gave it"
            f" those up to {target.number} ({missing})"
        )


async def _feed(geth: Geth, store: BlockStore, head: Head, target: Head) -> None:
    last, since_move = head.hash, 0
    async for payload in store.payloads(head.height + 1, target.height):
        verdict = await geth.execute(payload)
        if not verdict.valid and not verdict.invalid and await geth.moves_to(last):
            # A block that it still knows it does not execute, although the state after it may be lost: that it does
            # when the block becomes its head.
            verdict = await geth.execute(payload)
        if verdict.invalid:
            raise ExecutionError(
                f"geth finds block {payload.number} invalid, which the validators decided at height {payload.height}:"
                f" {verdict.reason}"
            )
        if not verdict.valid:
            return  # it does not hang on what geth has
        last, since_move = payload.hash, since_move + 1
        if since_move == _MOVE_EVERY:
            since_move = 0
            await geth.moves_to(last)
