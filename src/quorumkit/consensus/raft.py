"""Raft, as GoQuorum has it: a leader mints blocks when there are transactions; crash faults only, no byzantine ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quorumkit.identity import PublicIdentity

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec


class Raft:
    """GoQuorum's etcd/raft. A validator's raft id is its place in the static nodes, whose order is never changed.

    Its log and snapshots hold every member's address and ports, and nothing changes them (raft/handler.go,
    ConfChangeUpdateNode: "not yet handled").
    """

    kind = "raft"
    full_mesh = True
    keeps_addresses = True
    votes_on_addresses = False
    spec_fields: tuple[str, ...] = ("raft_block_time",)

    def blocks_on_demand(self, spec: ConsensusSpec) -> bool:
        return True

    def validator_address(self, identity: PublicIdentity) -> str:
        return identity.node_address

    def genesis_fields(self, spec: ConsensusSpec, validators: Sequence[str]) -> dict[str, Any]:
        """Nothing names the members: they are the static nodes."""
        return {"config": {}, "difficulty": "0x0", "extraData": "0x" + bytes(32).hex()}

    def quorum(self, validators: int) -> int:
        return validators // 2 + 1

    def tolerated_faults(self, validators: int) -> int:
        return validators - self.quorum(validators)
