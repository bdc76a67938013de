"""GoQuorum while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quorumkit.addresses import Endpoint, Enode
from quorumkit.engines.base import Driver, Standing
from quorumkit.engines.geth.branches import BranchSearch
from quorumkit.engines.geth.driver import GethDriver, standing_among
from quorumkit.engines.goquorum.raft_members import raft_standing
from quorumkit.engines.goquorum.recipe import TOLD_THEIR_PEERS
from quorumkit.errors import NodeError
from quorumkit.foreign import one_line

if TYPE_CHECKING:
    from quorumkit.record import NodeRecord
    from quorumkit.rpc import Rpc

_ADMITTED_WITHIN = 10.0
_FETCHES_WITHIN = 12.0
"""Seconds: with less than min(5, MaxPeers) peers it looks once in 10 s (eth/sync.go, nextSyncOp)."""
_APPLIED_SOON = 0.2
"""Seconds: raft applies a change of its members at once, where a majority of them is up."""


class GoQuorumDriver(GethDriver):
    """Its admin API is geth's; what consensus adds stands here."""

    async def standing(self, rpc: Rpc, record: NodeRecord) -> Standing:
        kind = record.consensus.kind
        if kind == "raft":
            return await raft_standing(rpc, record.identity.enode_key)
        if kind in TOLD_THEIR_PEERS:
            return standing_among(record, await rpc.call("istanbul_getValidators"))
        return await super().standing(rpc, record)

    async def is_level(self, rpc: Rpc) -> bool:
        """Every peer is known with its total difficulty when it came, or by the newest block it sent itself: no more
        than the client's own."""
        peers = [peer["protocols"].get("eth") for peer in await rpc.call("admin_peers")]
        if "handshake" in peers:
            return False
        own = int((await rpc.call("eth_getBlockByNumber", "latest", False))["totalDifficulty"], 16)
        return all(int(peer["difficulty"]) <= own for peer in peers if isinstance(peer, dict))

    def branch_search(self, rpc: Rpc, record: NodeRecord, directory: Path) -> BranchSearch | None:
        """QBFT and IBFT agree on a block before it is made, and raft's leader makes them all."""
        if record.consensus.kind != "clique":
            return None
        return BranchSearch(rpc, self, record, directory, fetches_within=_FETCHES_WITHIN)

    async def seal(self, rpc: Rpc, record: NodeRecord) -> None:
        """QBFT and IBFT sign with the nodekey, which is there from the start."""
        if record.consensus.kind in TOLD_THEIR_PEERS:
            await rpc.call("miner_start")
        else:
            await super().seal(rpc, record)

    async def admit(self, rpc: Rpc, enode: str, replaced: Collection[str] | None = None) -> str:
        """The node's raft id. It comes in as a learner, which gets the log and has no vote.

        Only the leader is asked: a raft id is one more than the highest that a member knows of (raft/handler.go,
        nextRaftId), and one that lags could give the same to two nodes. What it proposes counts once it has applied it.

        A member with another key at that very place has lost its disk and was replaced: raft takes it off its list
        first, for good, and counts its vote no more. Where `replaced` says who was, nobody else is taken off: whoever
        may come in could otherwise put out any member by giving its host and port for his own.
        """
        try:
            newcomer = Enode.parse(enode)
        except ValueError as error:
            raise NodeError(f"{one_line(enode)}: {error}") from None
        try:
            async with asyncio.timeout(_ADMITTED_WITHIN):
                while True:
                    members = await rpc.call("raft_cluster")
                    if (raft_id := _raft_id(members, newcomer.key)) is not None:
                        return str(raft_id)
                    if await rpc.call("raft_role") != "minter":
                        raise NodeError("it does not lead the raft")
                    if (lost := _member_at(members, newcomer.place)) is None:
                        await rpc.call("raft_addLearner", enode)
                    elif replaced is None or lost["nodeId"] in replaced:
                        await rpc.call("raft_removePeer", int(lost["raftId"]))
                    else:
                        raise NodeError("another member of the raft has its host and port, and was not replaced")
                    await asyncio.sleep(_APPLIED_SOON)
        except TimeoutError:
            raise NodeError(f"raft did not take the node in within {_ADMITTED_WITHIN:g} s") from None

    async def set_up(self, rpc: Rpc, record: NodeRecord) -> None:
        """Nothing: its gas is free by `isQuorum`."""

    def seal_method(self, record: NodeRecord) -> str | None:
        return None if record.consensus.kind == "raft" else "miner_start"

    def seals_before_peers(self, record: NodeRecord) -> bool:
        return record.consensus.kind in TOLD_THEIR_PEERS


def _raft_id(members: list[dict[str, Any]], key: str) -> int | None:
    """The raft id of the member with that enode key, as `raft_cluster` tells it."""
    return next((int(member["raftId"]) for member in members if member["nodeId"] == key), None)


def _member_at(members: list[dict[str, Any]], place: Endpoint) -> dict[str, Any] | None:
    """The member at that host and port."""
    wanted = place.host.lower(), place.port
    return next((member for member in members if (member["hostname"].lower(), member["p2pPort"]) == wanted), None)


DRIVER: Driver = GoQuorumDriver()
