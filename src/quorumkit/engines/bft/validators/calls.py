"""Calls of the contract and what it answers, as JSON-RPC takes and gives them (contract ABI specification): for those
who read the set and vote."""

from __future__ import annotations

from dataclasses import dataclass

from quorumkit.engines.bft.validators import KEY_SIZE, Validator, artifact
from quorumkit.identity.keystore import checksum_address, keccak256

_WORD = 32  # bytes
NO_KEY = bytes(KEY_SIZE)
"""A vote for this removes."""


@dataclass(frozen=True)
class Vote:
    """One that counts now."""

    voter: str
    account: str
    key: bytes
    """What the key of the account shall be; `NO_KEY`: it shall be no validator."""
    until: int
    """The block time from which it counts no more, in seconds."""


def vote(account: str, key: bytes) -> str:
    """Data of the transaction by which a validator's account votes that the key of `account` shall be `key`."""
    return _call("vote(address,bytes32)", int(account, 16).to_bytes(_WORD, "big"), key)


def withdraw(account: str) -> str:
    """Data of the transaction that takes such a vote back."""
    return _call("withdraw(address)", int(account, 16).to_bytes(_WORD, "big"))


def validators() -> str:
    """Data of the call that lists the set."""
    return _call("validators()")


def votes() -> str:
    """Data of the call that lists the votes that count now."""
    return _call("votes()")


def threshold() -> str:
    """Data of the call that says how many votes a change takes."""
    return _call("threshold()")


def read_validators(answer: str) -> list[Validator]:
    """Raises:
    ValueError: it is no answer of the contract.
    """
    return [Validator(_account(account), key) for account, key in _list(answer, 2)]


def read_votes(answer: str) -> list[Vote]:
    """Raises:
    ValueError: it is no answer of the contract.
    """
    return [
        Vote(_account(voter), _account(account), key, int.from_bytes(until, "big"))
        for voter, account, key, until in _list(answer, 4)
    ]


def read_number(answer: str) -> int:
    """Raises:
    ValueError: it is no answer of the contract.
    """
    (number,) = _words(answer)
    return int.from_bytes(number, "big")


def reason(data: str) -> str | None:
    """Why the contract refused, by the data of the error that a node answers ("revert data"): `NotAValidator`, or what
    else the source names; None where it is not one of those."""
    for entry in artifact()["abi"]:
        if entry["type"] == "error":
            name = f"{entry['name']}({','.join(part['type'] for part in entry['inputs'])})"
            if data.removeprefix("0x").startswith(keccak256(name.encode())[:4].hex()):
                return str(entry["name"])
    return None


def _call(function: str, *words: bytes) -> str:
    if any(len(word) != _WORD for word in words):
        raise ValueError("a key is 32 bytes")
    return str(artifact()["selectors"][function]) + b"".join(words).hex()


def _list(answer: str, width: int) -> list[list[bytes]]:
    """A dynamic array of structs of `width` words."""
    words = _words(answer)
    if len(words) < 2 or int.from_bytes(words[0], "big") != _WORD:
        raise ValueError("no list")
    body = words[2:]
    if len(body) != int.from_bytes(words[1], "big") * width:
        raise ValueError("a list of another length than it says")
    return [body[index : index + width] for index in range(0, len(body), width)]


def _words(answer: str) -> list[bytes]:
    data = bytes.fromhex(answer.removeprefix("0x"))
    if not data or len(data) % _WORD:
        raise ValueError(f"an answer of {len(data)} bytes")
    return [data[index : index + _WORD] for index in range(0, len(data), _WORD)]


def _account(word: bytes) -> str:
    if any(word[:12]):
        raise ValueError("no address")
    return checksum_address(word[12:].hex())
