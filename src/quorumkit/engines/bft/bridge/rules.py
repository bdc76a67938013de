"""What an application is given: geth, how the network makes blocks, and where it tells what it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.payload import Payload


class Execution(Protocol):
    """What is asked of geth (see `execution.py`)."""

    @property
    def head(self) -> Head: ...
    async def pending(self) -> int: ...
    async def build(self, *, timestamp: int, height: int, fee_recipient: str, wait: float) -> Payload | None: ...
    async def judge(self, payload: Payload) -> str | None: ...
    async def take(self, payload: Payload) -> None: ...
    async def commit(self, payload: Payload, height: int) -> None: ...
    async def validator_changes(self, payload: Payload) -> list[tuple[bytes, int]]: ...
    async def retain_height(self, wanted: int) -> int: ...
    async def adopt(self, block_hash: str) -> Head: ...


@dataclass(frozen=True)
class Rules:
    """How the network makes blocks; the same on every node."""

    period: float
    """Seconds from one block to the next, at least 1: timestamps are whole seconds."""
    empty_blocks: bool
    """Off: a height without transactions has no block of geth's."""
    free_gas: bool = False
    """On: no block uses so much gas that the next one would ask for a base fee."""


@dataclass
class Figures:
    """What the node program tells of a bridge."""

    height: int = 0
    blocks: int = 0
    """That were committed since the bridge started."""
    built: float | None = None
    """Seconds that geth took for the last block it built."""
    checked: float | None = None
    """Seconds that the last proposal took to check."""
    rejected: int = 0
    rejected_because: str | None = None

    def as_mapping(self) -> dict[str, Any]:
        return vars(self).copy()
