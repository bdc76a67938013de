"""What QBFT and IBFT share: both agree on each block before it is made, so a chain never forks, and stops instead.

Source: EIP-650 (Istanbul), the QBFT specification of the Enterprise Ethereum Alliance ("QBFT Blockchain Consensus
Protocol Specification v1"), and GoQuorum 24.4.1's genesis configuration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quorumkit.identity import PublicIdentity

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec

VANITY = bytes(32)
MIX_HASH = "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365"
"""Marks a block of either kind (EIP-650): "ctical byzantine fault tolerance"."""


class IstanbulConsensus:
    """The rules about validators; a kind adds its extraData."""

    kind: str
    full_mesh = False
    keeps_addresses = False
    votes_on_addresses = True
    spec_fields: tuple[str, ...] = ("period", "epoch", "request_timeout")

    def blocks_on_demand(self, spec: ConsensusSpec) -> bool:
        return False

    def validator_address(self, identity: PublicIdentity) -> str:
        """Messages are signed with the nodekey."""
        return identity.node_address

    def quorum(self, validators: int) -> int:
        """ceil(2N/3), which both kinds use from block 0 on (`ceil2Nby3Block`)."""
        return -(-2 * validators // 3)

    def tolerated_faults(self, validators: int) -> int:
        """F of N >= 3F + 1."""
        return (validators - 1) // 3

    def further_fields(self, spec: ConsensusSpec) -> dict[str, Any]:
        """Parts of the kind's configuration that the other has not."""
        return {}

    def _fields(self, spec: ConsensusSpec, extra_data: bytes) -> dict[str, Any]:
        return {
            "config": {
                self.kind: {
                    "epochlength": spec.epoch,
                    "blockperiodseconds": spec.period,
                    "requesttimeoutseconds": spec.request_timeout,
                    "policy": 0,  # round robin
                    "ceil2Nby3Block": 0,
                    **self.further_fields(spec),
                }
            },
            "difficulty": "0x1",
            "mixHash": MIX_HASH,
            "extraData": "0x" + extra_data.hex(),
        }


def address_bytes(address: str) -> bytes:
    """20 bytes of a 0x-hex address."""
    return bytes.fromhex(address.removeprefix("0x"))
