"""Clique proof of authority (EIP-225): validators take turns at sealing; more than half of them must be up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quorumkit.identity import PublicIdentity

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec

_VANITY = 32  # bytes before the signers in extraData (EIP-225 EXTRA_VANITY)
_SEAL = 65  # bytes after them (EIP-225 EXTRA_SEAL); zero in the genesis


class Clique:
    """EIP-225."""

    kind = "clique"
    full_mesh = False
    keeps_addresses = False
    votes_on_addresses = True
    spec_fields: tuple[str, ...] = ("period", "epoch")

    def blocks_on_demand(self, spec: ConsensusSpec) -> bool:
        return False

    def validator_address(self, identity: PublicIdentity) -> str:
        """Blocks are sealed with the account's key."""
        return identity.account

    def genesis_fields(self, spec: ConsensusSpec, validators: Sequence[str]) -> dict[str, Any]:
        """`extraData` lists the signers in ascending order, as EIP-225 demands, whatever their ordinals."""
        signers = sorted(bytes.fromhex(account.removeprefix("0x")) for account in validators)
        return {
            "config": {"clique": {"period": spec.period, "epoch": spec.epoch}},
            "difficulty": "0x1",
            "extraData": "0x" + (bytes(_VANITY) + b"".join(signers) + bytes(_SEAL)).hex(),
        }

    def quorum(self, validators: int) -> int:
        """A signer may seal one of any floor(N/2)+1 blocks in a row, so that many must take part."""
        return validators // 2 + 1

    def tolerated_faults(self, validators: int) -> int:
        return validators - self.quorum(validators)
