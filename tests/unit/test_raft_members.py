"""What a raft member's own answers say of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from quorumkit.engines import Standing
from quorumkit.engines.goquorum.raft_members import raft_standing, standing_of
from quorumkit.errors import RpcError


def member(number: int, role: str = "verifier", *, active: bool = True) -> dict[str, Any]:
    return {"raftId": number, "nodeId": f"key{number}", "role": role, "nodeActive": active}


def test_voters_validate_and_learners_do_not() -> None:
    members = [member(1, "minter"), member(2), member(3), member(4, "learner")]
    assert standing_of(members, "key2", removed=False) == Standing(True, 3, members=4)
    assert standing_of(members, "key4", removed=False) == Standing(False, 3, members=4)


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([member(1, ""), member(2, "", active=False), member(3, "", active=False)], "knows no leader"),
        ([member(1, "minter"), member(2, active=False), member(3, active=False)], "reaches 1 of raft's 3"),
        ([member(1, "minter"), member(2), member(3, active=False), member(4, active=False)], "blocks take 3"),
        ([member(2, "minter"), member(3)], "not in raft's list"),
        ([], "not in raft's list"),
    ],
)
def test_what_keeps_a_member_from_going_on_is_told(members: list[dict[str, Any]], told: str) -> None:
    trouble = standing_of(members, "key1", removed=False).trouble
    assert trouble is not None
    assert told in trouble


def test_a_majority_that_is_just_there_is_enough() -> None:
    members = [member(1, "minter"), member(2), member(3, active=False), member(4, "learner", active=False)]
    assert standing_of(members, "key1", removed=False).trouble is None


class Removed:
    """A client that raft has removed, or one that is only starting: neither lists a member."""

    def __init__(self, refusal: str) -> None:
        self.refusal = refusal

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        if method == "raft_leader":
            return ""
        if method == "raft_cluster":
            return []
        raise RpcError(self.refusal)


class Leaderless(Removed):
    """A client whose list of members is not to be asked for."""

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        if method == "raft_leader":
            raise RpcError("node1: raft_leader: no leader is currently elected")
        assert method == "raft_promoteToPeer"
        raise RpcError(self.refusal)


def test_a_removed_member_is_told_apart_from_one_that_is_only_starting() -> None:
    gone = Removed("node1: raft_promoteToPeer: node not part of raft cluster. operations not allowed")
    assert asyncio.run(raft_standing(gone, "key1")).removed  # type: ignore[arg-type]
    new = Removed("node1: raft_promoteToPeer: 0 is not a learner. only learner can be promoted to peer")
    assert not asyncio.run(raft_standing(new, "key1")).removed  # type: ignore[arg-type]


def test_one_that_knows_no_leader_is_not_asked_for_its_members() -> None:
    new = Leaderless("node1: raft_promoteToPeer: 0 is not a learner. only learner can be promoted to peer")
    assert "knows no leader" in str(asyncio.run(raft_standing(new, "key1")).trouble)  # type: ignore[arg-type]
    gone = Leaderless("node1: raft_promoteToPeer: node not part of raft cluster. operations not allowed")
    assert asyncio.run(raft_standing(gone, "key1")).removed  # type: ignore[arg-type]


def test_the_members_are_not_asked_for_again_while_the_leader_stays() -> None:
    class Client:
        leader, asked = "key1", 0

        async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
            if method == "raft_leader":
                return self.leader
            assert method == "raft_cluster"
            self.asked += 1
            return [member(1, "minter"), member(2, active=False), member(3, active=self.leader != "gone")]

    async def scene(client: Any) -> None:
        standing = await raft_standing(client, "key1")
        assert standing.trouble is None
        assert await raft_standing(client, "key1") == standing
        assert client.asked == 1
        client.leader = "key2"
        await raft_standing(client, "key1")
        assert client.asked == 2
        client.leader = "gone"  # with trouble, it is looked at each time
        for asked in (3, 4):
            assert (await raft_standing(client, "key1")).trouble is not None
            assert client.asked == asked

    asyncio.run(scene(Client()))
