"""What the validator contract says of the set: read from a block's events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from Crypto.Hash import keccak

UPDATE = "ValidatorUpdate(address,bytes32,uint64)"
"""The event by which consensus goes: account and key are indexed, the power is its data; 0 takes the key out."""

_BLOOM_BITS = 2048


@dataclass(frozen=True)
class ValidatorEvents:
    """Of the contract at `address`."""

    address: str

    def may_be_in(self, bloom: str) -> bool:
        """Whether a block of that bloom filter (yellow paper, section 4.3.1) can have such events: a block that has
        none says so without being asked for its events, but for one in millions."""
        bits = int(bloom, 16)
        return all(_is_in(bits, entry) for entry in (bytes.fromhex(self.address[2:]), _topic()))

    def changes(self, logs: Sequence[Mapping[str, Any]]) -> list[tuple[bytes, int]]:
        """The ed25519 keys whose power changes, with the new one, in the block's order; the last word on a key counts.

        Raises:
            KeyError, IndexError, TypeError, ValueError: they are not logs.
        """
        found: dict[bytes, int] = {}
        for log in logs:
            if log["address"].lower() != self.address.lower() or log["topics"][0] != "0x" + _topic().hex():
                continue
            key = bytes.fromhex(log["topics"][2][2:])
            if len(key) != 32:
                raise ValueError("a key of another length")
            found.pop(key, None)
            found[key] = int(log["data"], 16)
        return list(found.items())


def _keccak(data: bytes) -> bytes:
    return keccak.new(digest_bits=256, data=data).digest()


def _topic() -> bytes:
    return _keccak(UPDATE.encode())


def _is_in(bits: int, entry: bytes) -> bool:
    digest = _keccak(entry)
    return all(bits >> (int.from_bytes(digest[i : i + 2], "big") % _BLOOM_BITS) & 1 for i in (0, 2, 4))
