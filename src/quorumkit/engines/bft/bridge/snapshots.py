"""From which blocks a node that joins may start (ABCI's state sync)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from quorumkit.engines.bft.bridge import abci_pb2 as abci
from quorumkit.engines.bft.bridge.head import Head
from quorumkit.engines.bft.bridge.wire import Handler

FORMAT: Final = 1
EVERY: Final = 16
"""Heights between two that a node that joins may start from: geth's peers have the state of their last 128 blocks."""
_KEPT = 3
_CHUNK = b"\x01"
"""A snapshot is a height and a block hash; what hangs on them comes from geth's peers. CometBFT wants a byte of it."""
_PROVABLE_AFTER = 2
"""Heights after which a height's application hash is proved to a node that joins (CometBFT:
statesync/stateprovider.go)."""


class Snapshots:
    """Those that a node has for others, and the one that it starts from itself."""

    def __init__(self, height: Callable[[], int]) -> None:
        """`height` is the last that was committed."""
        self._height = height
        self._blocks: deque[tuple[int, str]] = deque(maxlen=_KEPT + 1)
        self.accepted: str | None = None
        """The hash of the block to start from: more than two thirds of the validators signed it."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """By the name of the request (see `wire.Server`)."""
        return {
            "list_snapshots": self.list_snapshots,
            "load_snapshot_chunk": self.load_snapshot_chunk,
            "offer_snapshot": self.offer_snapshot,
        }

    def note(self, head: Head) -> None:
        """A block was committed."""
        newest = self._blocks[-1][0] if self._blocks else None
        if newest is None or head.height // EVERY > newest // EVERY:
            self._blocks.append((head.height, head.hash))

    async def list_snapshots(self, _: abci.RequestListSnapshots) -> abci.ResponseListSnapshots:
        """The blocks from which a node that joins may start."""
        provable = self._height() - _PROVABLE_AFTER
        found = [
            abci.Snapshot(height=height, format=FORMAT, chunks=1, hash=bytes.fromhex(block[2:]))
            for height, block in self._blocks
            if height <= provable
        ]
        return abci.ResponseListSnapshots(snapshots=found[-_KEPT:])

    async def load_snapshot_chunk(self, _: abci.RequestLoadSnapshotChunk) -> abci.ResponseLoadSnapshotChunk:
        """See `_CHUNK`."""
        return abci.ResponseLoadSnapshotChunk(chunk=_CHUNK)

    async def offer_snapshot(self, request: abci.RequestOfferSnapshot) -> abci.ResponseOfferSnapshot:
        """Whether to start from there. The hash comes from a peer, the application hash from more than two thirds of
        the validators."""
        result = abci.ResponseOfferSnapshot.Result
        snapshot = request.snapshot
        if snapshot.format != FORMAT:
            return abci.ResponseOfferSnapshot(result=result.REJECT_FORMAT)
        if snapshot.chunks != 1 or len(request.app_hash) != 32 or snapshot.hash != request.app_hash:
            return abci.ResponseOfferSnapshot(result=result.REJECT)
        self.accepted = "0x" + request.app_hash.hex()
        return abci.ResponseOfferSnapshot(result=result.ACCEPT)
