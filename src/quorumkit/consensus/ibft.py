"""Istanbul BFT (IBFT 1.0, EIP-650): QBFT's older sibling, for networks that run it already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quorumkit import rlp
from quorumkit.consensus.istanbul import VANITY, IstanbulConsensus, address_bytes

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec


class Ibft(IstanbulConsensus):
    """EIP-650."""

    kind = "ibft"

    def genesis_fields(self, spec: ConsensusSpec, validators: Sequence[str]) -> dict[str, Any]:
        """`extraData` is 32 bytes vanity, then RLP([validators, empty seal, no committed seals])."""
        addresses = sorted(address_bytes(address) for address in validators)
        return self._fields(spec, VANITY + rlp.encode([addresses, b"", []]))
