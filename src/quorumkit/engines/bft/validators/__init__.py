"""The contract in the genesis block that holds a network's validators and the rules by which they change.

`Validators.sol` is its source, `Validators.json` what compile.mjs made of it. `genesis` makes its account in the
genesis block, `events` reads what consensus goes by, `calls` is for those who read the set and vote. All of it is pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

ADDRESS = "0x0000000000000000000000000000000000001000"
"""Of the contract on every network: beyond the addresses of precompiles, where other chains have theirs too."""

POWER = 1
"""The voting power of each validator in the contract (`POWER` in the source) and in its events."""

CONSENSUS_POWER = 10
"""What CometBFT is told of one with that power. With 1, a validator among four or five that is behind would not fetch
blocks: to see whether nothing goes on without it, CometBFT divides the power of all by three, as whole numbers
(blocksync/reactor.go, localNodeBlocksTheChain)."""

LARGEST = 100
"""Validators in a set (`LARGEST` in the source)."""

KEY_SIZE = 32
"""Bytes of an ed25519 public key."""


@dataclass(frozen=True)
class Validator:
    """One that is in the set."""

    account: str
    """Votes in the contract: an address, 0x-hex."""
    key: bytes
    """Its votes of consensus are verified by this one: ed25519, public."""


@cache
def artifact() -> dict[str, Any]:
    """What was compiled of the source: `abi`, `selectors`, `deployedBytecode`, `storage`, `members`, `metadata`"""
    contents: dict[str, Any] = json.loads(files(__name__).joinpath("Validators.json").read_bytes())
    return contents
