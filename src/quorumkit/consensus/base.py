"""What every consensus kind answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from quorumkit.identity import PublicIdentity

if TYPE_CHECKING:
    from quorumkit.spec import ConsensusSpec


class Consensus(Protocol):
    """A consensus kind. All methods are pure."""

    kind: str
    full_mesh: bool
    """Whether every node must be connected to every other, however many they are."""

    keeps_addresses: bool
    """Whether nodes keep each other's addresses for good, so that none can move once it has started."""

    votes_on_addresses: bool
    """Whether validators vote others in and out by their addresses."""

    spec_fields: tuple[str, ...]
    """The fields of the spec's `consensus` that mean something with this kind, beside the kind itself."""

    def blocks_on_demand(self, spec: ConsensusSpec) -> bool:
        """Whether a block is made only when there are transactions."""
        ...

    def validator_address(self, identity: PublicIdentity) -> str:
        """The address a validator is known by: its account's, or its nodekey's."""
        ...

    def genesis_fields(self, spec: ConsensusSpec, validators: Sequence[str]) -> dict[str, Any]:
        """The genesis fields this kind decides: `config` (merged into the chain's), `extraData`, `difficulty`, …

        `validators` are their addresses in ordinal order.
        """
        ...

    def quorum(self, validators: int) -> int:
        """How many of the validators must be up and connected for blocks to go on."""
        ...

    def tolerated_faults(self, validators: int) -> int:
        """How many validators may stop while blocks go on."""
        ...
