"""How much of what it decided CometBFT must keep."""

from __future__ import annotations

LOST_AT_MOST = 131
"""Blocks that geth loses when it is killed: with the path scheme and --cache.gc 0 the state on its disk is 128 blocks
behind its head (measured: 128 to 131, always). CometBFT's store is what they are fed from again."""

KEPT_AT_LEAST = 1000
"""Blocks that are kept whatever is asked for: what geth loses, and room for a node that was away for a while."""

EVERY = 32
"""Heights between two times that CometBFT is told: each one asks geth for a block."""


def kept_blocks(wanted: int) -> int:
    """How many of geth's blocks CometBFT must be able to feed it again, if `wanted` are wished for."""
    return max(wanted, KEPT_AT_LEAST)


def retain_height(*, oldest_kept: int, height: int) -> int:
    """The lowest height that CometBFT keeps: 0 for all.

    `oldest_kept` is the consensus height that decided the oldest of geth's blocks that are kept. Not a number of
    heights below `height` is what counts: there can be any number of heights without a block of geth's in between, and
    what geth loses is counted in its own blocks.
    """
    return min(oldest_kept, height) if oldest_kept > 1 else 0
