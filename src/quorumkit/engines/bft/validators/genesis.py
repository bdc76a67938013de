"""The contract's account in the genesis block.

Where things lie in its storage is said by the Solidity documentation, "Layout of State Variables in Storage"; which
slot and offset each variable has was written into the artifact by the compiler.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorumkit.engines.bft.validators import KEY_SIZE, LARGEST, Validator, artifact
from quorumkit.identity.keystore import keccak256

_WORD = 32  # bytes


def genesis_account(first: Sequence[Validator]) -> dict[str, Any]:
    """The value that stands under `ADDRESS` in `alloc`, with `first` as the set: no balance, and the nonce of a
    contract (EIP-161).

    Raises:
        ValueError: no contract could have come to that set by its own rules.
    """
    return {
        "balance": "0x0",
        "nonce": "0x1",
        "code": artifact()["deployedBytecode"],
        "storage": {_hex(slot): _hex(word) for slot, word in sorted(_storage(first).items())},
    }


def _storage(first: Sequence[Validator]) -> dict[int, int]:
    """The words that are not 0, by slot."""
    _check(first)
    variables = {name: place["slot"] for name, place in artifact()["storage"].items()}
    entry = artifact()["members"]["struct Validators.Entry"]
    words = {variables["accounts"]: len(first)}
    items = _number(keccak256(_word(variables["accounts"])))
    for index, validator in enumerate(first):
        account, key = int(validator.account, 16), _number(validator.key)
        words[items + index] = account
        base = _slot_of(account, variables["entries"])
        words[base + entry["key"]["slot"]] = key
        # `changed`, beside it in the same word, is 0.
        words[base + entry["position"]["slot"]] = (index + 1) << (8 * entry["position"]["offset"])
        words[_slot_of(key, variables["owners"])] = account
    return words


def _check(first: Sequence[Validator]) -> None:
    accounts = [int(validator.account, 16) for validator in first]
    keys = [validator.key for validator in first]
    if not 1 <= len(first) <= LARGEST:
        raise ValueError(f"there must be 1 to {LARGEST} validators, not {len(first)}")
    if any(not 0 < account < 1 << 160 for account in accounts):
        raise ValueError("the account of a validator is no address")
    if any(len(key) != KEY_SIZE or not any(key) for key in keys):
        raise ValueError("the key of a validator is no ed25519 key")
    if len(set(accounts)) < len(accounts) or len(set(keys)) < len(keys):
        raise ValueError("two validators have one account or one key")


def _slot_of(key: int, mapping: int) -> int:
    return _number(keccak256(_word(key) + _word(mapping)))


def _word(number: int) -> bytes:
    return number.to_bytes(_WORD, "big")


def _number(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _hex(number: int) -> str:
    return "0x" + _word(number).hex()
