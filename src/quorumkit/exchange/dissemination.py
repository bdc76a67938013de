"""Whom a node asks for what of the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """Ordinals that a node collects together, and whom it asks for them, the first one first."""

    ordinals: tuple[int, ...]
    sources: tuple[int, ...]


def blocks(ordinal: int, total: int, *, joins: bool = False) -> list[Block]:
    """Whom a node asks for what, so that all N have all of it after about log2(N) requests each.

    The node 2^r places on is asked for itself and the 2^r - 1 behind it, which it collects from others in the same way
    (the dissemination pattern of barriers: Hensgen, Finkel and Manber 1988). When it is not there, others of the block
    and then all the rest are asked. One who joins asks anyone for all.
    """
    ring = [(ordinal - 1 + step) % total + 1 for step in range(1, total)]
    if joins:
        everyone = tuple(dict.fromkeys([*ring, *range(1, total + 1)]))
        everyone = tuple(other for other in everyone if other != ordinal)
        return [Block(tuple(range(1, total + 1)), everyone)]
    found = []
    stride = 1
    while stride < total:
        mine = ring[stride - 1 : 2 * stride - 1]
        found.append(Block(tuple(mine), (*mine, *(other for other in ring if other not in mine))))
        stride *= 2
    return found
