"""QBFT: byzantine fault tolerant, for networks whose blocks are final."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from quorumkit import rlp
from quorumkit.consensus.istanbul import VANITY, IstanbulConsensus, address_bytes

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec


class Qbft(IstanbulConsensus):
    """EEA QBFT specification, v1."""

    kind = "qbft"
    spec_fields: tuple[str, ...] = (*IstanbulConsensus.spec_fields, "max_request_timeout")

    def further_fields(self, spec: ConsensusSpec) -> dict[str, Any]:
        return {"maxRequestTimeoutSeconds": spec.max_request_timeout}

    def genesis_fields(self, spec: ConsensusSpec, validators: Sequence[str]) -> dict[str, Any]:
        """`extraData` is RLP([32 bytes vanity, validators, no vote, round 0, no seals]), validators ascending."""
        addresses = sorted(address_bytes(address) for address in validators)
        return self._fields(spec, rlp.encode([VANITY, addresses, [], 0, []]))
