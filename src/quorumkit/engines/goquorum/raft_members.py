"""A node's place among GoQuorum's raft members, as its client tells it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from quorumkit.consensus import consensus_of
from quorumkit.engines.base import Standing
from quorumkit.errors import RpcError

if TYPE_CHECKING:
    from quorumkit.rpc import Rpc

NO_MEMBER = 0
"""No raft id: they begin at 1."""

MEMBERS_EVERY = 15.0
"""Seconds between two looks at the list of members, while the leader stays and nothing is amiss."""

_last: WeakKeyDictionary[Rpc, tuple[str, float, Standing]] = WeakKeyDictionary()
"""By connection: the leader, until when the standing holds (by the monotonic clock), and the standing."""

_NO_LEADER = "raft knows no leader: it is cut off from the others, or too few of them run"


async def raft_standing(rpc: Rpc, key: str) -> Standing:
    """That of the node with that enode key.

    Raises:
        RpcError: the client cannot be asked.
    """
    try:
        # Asked first, and often. For the list of members GoQuorum takes its lock twice (raft/handler.go, NodeInfo), and
        # hangs for good where a change comes in between, as while one that joins hears of all members.
        leader = await rpc.call("raft_leader")
    except RpcError as error:
        if "no leader" not in error.message:
            raise
        if await _is_removed(rpc):
            return standing_of([], key, removed=True)
        return Standing(False, 0, trouble=_NO_LEADER)
    if (last := _last.get(rpc)) is not None and last[0] == leader and time.monotonic() < last[1]:
        return last[2]
    members = await rpc.call("raft_cluster")
    standing = standing_of(members, key, removed=not members and await _is_removed(rpc))
    _last[rpc] = leader, time.monotonic() + (MEMBERS_EVERY if standing.trouble is None else 0), standing
    return standing


def standing_of(members: Sequence[dict[str, Any]], key: str, *, removed: bool) -> Standing:
    """What `raft_cluster` answered amounts to: `role` is empty on all where no leader is known, and `nodeActive` says
    whether messages came through in the last seconds (raft/api.go). Pure."""
    if removed:
        return Standing(False, 0, members=1, trouble="raft has removed it (raft.removePeer), for good", removed=True)
    own = next((member for member in members if member["nodeId"] == key), None)
    voters = [member for member in members if member["role"] in ("minter", "verifier")]
    standing = Standing(own in voters, len(voters), members=len(members) or None)
    if own is None:
        return _but(standing, "it is not in raft's list of members yet")
    if not voters:
        return _but(standing, _NO_LEADER)
    active = sum(bool(member["nodeActive"]) for member in voters)
    if active < (quorum := consensus_of("raft").quorum(len(voters))):
        return _but(standing, f"it reaches {active} of raft's {len(voters)} voting members, and blocks take {quorum}")
    return standing


def _but(standing: Standing, trouble: str) -> Standing:
    return Standing(standing.validates, standing.validators, standing.members, trouble)


async def _is_removed(rpc: Rpc) -> bool:
    """A member that is only starting lists nobody either; the error to a request that can do nothing tells them
    apart."""
    try:
        await rpc.call("raft_promoteToPeer", NO_MEMBER)
    except RpcError as error:
        return "not part of raft cluster" in error.message
    return False
