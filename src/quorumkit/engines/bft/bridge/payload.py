"""A block on its way from geth through consensus to geth."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BEACON_ROOT = "parentBeaconBlockRoot"


@dataclass(frozen=True)
class Payload:
    """One block as the Engine API has it."""

    fields: Mapping[str, Any]
    """ExecutionPayloadV3, with the transactions in hexadecimal; and the parent beacon root, which is no part of it
    there but decides the block's hash."""
    requests: tuple[str, ...] = ()
    """Execution requests (EIP-7685), in hexadecimal."""
    mark: float = 0.0
    """When its proposer released it, in seconds since 1970."""

    @property
    def hash(self) -> str:
        return str(self.fields["blockHash"])

    @property
    def parent_hash(self) -> str:
        return str(self.fields["parentHash"])

    @property
    def number(self) -> int:
        return int(self.fields["blockNumber"], 16)

    @property
    def timestamp(self) -> int:
        return int(self.fields["timestamp"], 16)

    @property
    def beacon_root(self) -> str:
        return str(self.fields[BEACON_ROOT])

    @property
    def height(self) -> int:
        """The consensus height that it was made for."""
        return int(self.beacon_root, 16)


def beacon_root(height: int) -> str:
    """How a block keeps the consensus height that decides it: in the place of the parent beacon root (EIP-4788), which
    contracts can read and which means nothing else here."""
    return f"0x{height:064x}"


def prev_randao(parent_hash: str, height: int) -> str:
    """What contracts read as the block's randomness (EIP-4399). It must be the same whoever proposes, so whoever sees
    the parent knows it: it is not random."""
    return "0x" + hashlib.sha256(bytes.fromhex(parent_hash[2:]) + height.to_bytes(8, "big")).hexdigest()


def most_gas_for_free(gas_limit: int) -> int:
    """How much gas a block may use where gas is free: after one that is more than half full the next asks for a base
    fee, of 1 wei at least, and below 8 wei it never falls again (EIP-1559, with an elasticity of 2)."""
    return gas_limit // 2
