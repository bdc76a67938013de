"""The hash of the block that a client makes from a genesis file, computed without the client.

So a node can tell at every start whether the chain that its client has is the network's, whatever the client found on
its disk. Sources: Yellow Paper, 4.3 (the block header) and appendix D (the Merkle Patricia trie); core/genesis.go of
go-ethereum 1.13.15 (`toBlock`) for what stands for a field that is missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from quorumkit import rlp
from quorumkit.identity.keystore import keccak256

_DEFAULT_GAS_LIMIT = 4_712_388
_DEFAULT_DIFFICULTY = 131_072
_DEFAULT_BASE_FEE = 1_000_000_000
_LATER_FORKS = ("shanghaiTime", "cancunTime", "pragueTime", "verkleTime")
_BLOOM = bytes(256)
_EMBEDDED = 32  # bytes; a shorter node stands in its parent itself


def genesis_block_hash(genesis: Mapping[str, Any]) -> str | None:
    """The hash of block 0, as JSON-RPC writes it; None where the genesis has a fork whose header this does not know.

    Raises:
        ValueError, TypeError, AttributeError: it is no genesis.
    """
    config = genesis.get("config", {})
    if any(fork in config for fork in _LATER_FORKS):
        return None
    header: list[rlp.Item] = [
        _bytes(genesis.get("parentHash", ""), 32),
        keccak256(rlp.encode([])),
        _bytes(genesis.get("coinbase", ""), 20),
        _state_root(genesis.get("alloc") or {}),
        _root({}),
        _root({}),
        _BLOOM,
        _number(genesis.get("difficulty", _DEFAULT_DIFFICULTY)),
        _number(genesis.get("number", 0)),
        _number(genesis.get("gasLimit", 0)) or _DEFAULT_GAS_LIMIT,
        _number(genesis.get("gasUsed", 0)),
        _number(genesis.get("timestamp", 0)),
        _bytes(genesis.get("extraData", "")),
        _bytes(genesis.get("mixHash", ""), 32),
        _number(genesis.get("nonce", 0)).to_bytes(8, "big"),
    ]
    if config.get("londonBlock") == 0:
        header.append(_number(genesis.get("baseFeePerGas", _DEFAULT_BASE_FEE)))
    return "0x" + keccak256(rlp.encode(header)).hex()


def _state_root(alloc: Mapping[str, Mapping[str, Any]]) -> bytes:
    accounts = {}
    for address, account in alloc.items():
        storage = {
            keccak256(_bytes(slot, 32)): rlp.encode(_bytes(value).lstrip(b"\0"))
            for slot, value in (account.get("storage") or {}).items()
            if _bytes(value).strip(b"\0")
        }
        code = keccak256(_bytes(account.get("code") or ""))
        state: list[rlp.Item] = [_number(account.get("nonce", 0)), _number(account["balance"]), _root(storage), code]
        accounts[keccak256(_bytes(address, 20))] = rlp.encode(state)
    return _root(accounts)


def _root(values: Mapping[bytes, bytes]) -> bytes:
    """The root of the trie that holds those values; its keys are of one length."""
    if not values:
        return keccak256(rlp.encode(b""))
    pairs = [(_nibbles(key), value) for key, value in sorted(values.items())]
    return keccak256(rlp.encode(_node(pairs, 0)))


def _node(pairs: Sequence[tuple[bytes, bytes]], depth: int) -> rlp.Item:
    """The node of those values, which are sorted and whose keys are the same up to that depth (in nibbles)."""
    first, last = pairs[0][0], pairs[-1][0]
    if len(pairs) == 1:
        return [_path(first[depth:], leaf=True), pairs[0][1]]
    end = depth
    while first[end] == last[end]:
        end += 1
    branch: list[rlp.Item] = []
    for nibble in range(16):
        below = [pair for pair in pairs if pair[0][end] == nibble]
        branch.append(_reference(_node(below, end + 1)) if below else b"")
    branch.append(b"")
    return branch if end == depth else [_path(first[depth:end], leaf=False), _reference(branch)]


def _reference(node: rlp.Item) -> rlp.Item:
    encoded = rlp.encode(node)
    return node if len(encoded) < _EMBEDDED else keccak256(encoded)


def _nibbles(key: bytes) -> bytes:
    return bytes(nibble for byte in key for nibble in (byte >> 4, byte & 15))


def _path(nibbles: bytes, *, leaf: bool) -> bytes:
    """Hex-prefix encoding (Yellow Paper, appendix C)."""
    flag = 2 if leaf else 0
    whole = bytes([flag + 1]) + nibbles if len(nibbles) % 2 else bytes([flag, 0]) + nibbles
    return bytes(high << 4 | low for high, low in zip(whole[::2], whole[1::2], strict=True))


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else int(value, 16 if value[:2].lower() == "0x" else 10)


def _bytes(text: str, length: int = 0) -> bytes:
    """Hexadecimal digits, with or without 0x, filled up with zeros in front."""
    digits = text.removeprefix("0x").removeprefix("0X")
    return bytes.fromhex("0" * (len(digits) % 2) + digits).rjust(length, b"\0")
