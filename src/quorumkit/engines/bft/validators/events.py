"""What consensus goes by: the contract's event `ValidatorUpdate` in the logs of a block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorumkit.engines.bft.validators import ADDRESS
from quorumkit.identity.keystore import keccak256

UPDATE_TOPIC = "0x" + keccak256(b"ValidatorUpdate(address,bytes32,uint64)").hex()

_WORD = 66  # characters of a word in 0x-hex
_BLOOM_BYTES = 256


def may_have_updates(bloom: str) -> bool:
    """Whether a block with that `logsBloom` (Yellow Paper, 4.4.1) can have logs of the contract: if not, nobody need
    ask for its logs.

    Raises:
        ValueError: it is no bloom filter.
    """
    bits = bytes.fromhex(bloom.removeprefix("0x"))
    if len(bits) != _BLOOM_BYTES:
        raise ValueError(f"a bloom filter of {len(bits)} bytes")
    number = int.from_bytes(bits, "big")
    return all(number >> bit & 1 for bit in _BITS)


def log_filter(block_hash: str) -> dict[str, Any]:
    """The parameter of `eth_getLogs` that gives the updates of one block (EIP-234)."""
    return {"blockHash": block_hash, "address": ADDRESS, "topics": [UPDATE_TOPIC]}


def updates(logs: Sequence[Mapping[str, Any]]) -> list[tuple[bytes, int]]:
    """The keys whose voting power one block changes, and their power from it on: 0 takes a key out. `logs` are those of
    the block as JSON-RPC gives them, in any order, also of other contracts.

    The contract changes a key at most once a block. Should there be two updates of one key all the same the last
    stands, for consensus takes no second one.

    Raises:
        ValueError, KeyError, TypeError: a log of the contract is not one that it writes.
    """
    ours = [log for log in logs if int(log["address"], 16) == int(ADDRESS, 16) and log["topics"][:1] == [UPDATE_TOPIC]]
    found: dict[bytes, int] = {}
    for log in sorted(ours, key=lambda log: int(log["logIndex"], 16)):
        _, _, key = log["topics"]
        if len(key) != _WORD or len(log["data"]) != _WORD:
            raise ValueError("a ValidatorUpdate of another form than the contract's")
        found.pop(bytes.fromhex(key[2:]), None)
        found[bytes.fromhex(key[2:])] = int(log["data"], 16)
    return list(found.items())


def _bits(item: bytes) -> list[int]:
    digest = keccak256(item)
    return [int.from_bytes(digest[index : index + 2], "big") & 2047 for index in (0, 2, 4)]


_BITS = [*_bits(bytes.fromhex(ADDRESS[2:])), *_bits(bytes.fromhex(UPDATE_TOPIC[2:]))]
