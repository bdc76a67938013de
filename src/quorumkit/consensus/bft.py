"""Byzantine fault tolerance beside the client: CometBFT agrees on each block, which is final at once.

Source: CometBFT's specification (spec/consensus/consensus.md), which is the algorithm of Buchman, Kwon and Milosevic,
"The latest gossip on BFT consensus" (arXiv:1807.04938).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quorumkit.identity import PublicIdentity

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec


class Bft:
    """Validators stand in a contract of the genesis, which the client writes: it is given their identities."""

    kind = "bft"
    full_mesh = False
    keeps_addresses = False
    votes_on_addresses = False
    spec_fields: tuple[str, ...] = ("period", "empty_blocks")

    def blocks_on_demand(self, spec: ConsensusSpec) -> bool:
        return not spec.empty_blocks

    def validator_address(self, identity: PublicIdentity) -> str:
        """The account that votes for it."""
        return identity.account

    def genesis_fields(self, spec: ConsensusSpec, validators: Sequence[str]) -> dict[str, Any]:
        """After the merge nothing of consensus stands in a block's header (EIP-3675)."""
        return {"config": {}, "difficulty": "0x0"}

    def quorum(self, validators: int) -> int:
        """More than two thirds."""
        return 2 * validators // 3 + 1

    def tolerated_faults(self, validators: int) -> int:
        """F of N >= 3F + 1."""
        return (validators - 1) // 3
