"""Transactions as geth asks for them to be signed, and as it takes them back. Pure.

geth sends the arguments of a transaction (signer/core/apitypes/types.go, SendTxArgs) without its type, which follows
from the fees and the access list (ToTransaction), and reads the signed one from its JSON form
(core/types/transaction_marshalling.go), not from its raw bytes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorumkit import rlp
from quorumkit.engines.bft.signer.key import AccountKey
from quorumkit.identity.keystore import keccak256

_QUANTITY = re.compile(r"0x(0|[1-9a-fA-F][0-9a-fA-F]{0,63})")
_DATA = re.compile(r"0x((?:[0-9a-fA-F]{2})*)")
_MOST_NONCE = 2**64 - 2  # EIP-2681
_FIELDS = frozenset({
    "from", "to", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas", "value", "nonce", "data", "input",
    "accessList", "chainId",
})  # fmt: skip
_BLOB_FIELDS = frozenset({
    "maxFeePerBlobGas", "blobVersionedHashes", "blobVersion", "blobs", "commitments", "proofs",
})  # fmt: skip

NO_BLOBS = "this chain has no blob transactions (EIP-4844)"

AccessList = tuple[tuple[bytes, tuple[bytes, ...]], ...]
"""Addresses and the storage keys of each (EIP-2930)."""


class RefusedError(Exception):
    """What is not signed, and why, for whoever asked."""


@dataclass(frozen=True)
class Transaction:
    """One that is not signed yet. Fees and value in wei."""

    chain_id: int
    nonce: int
    gas: int
    to: bytes
    """20 bytes; none where it creates a contract."""
    value: int
    data: bytes
    gas_price: int | None = None
    """Of a legacy transaction and one of type 1."""
    tip: int = 0
    """`maxPriorityFeePerGas`, of one of type 2."""
    fee_cap: int = 0
    """`maxFeePerGas`, of one of type 2."""
    access_list: AccessList | None = None
    """None for a legacy transaction."""

    @property
    def type(self) -> int:
        """0: legacy, bound to its chain (EIP-155). 1: EIP-2930. 2: EIP-1559."""
        return 2 if self.gas_price is None else 0 if self.access_list is None else 1


def requested(arguments: Any, *, account: bytes, chain_id: int) -> Transaction:
    """The transaction that geth asks to be signed with `account`.

    Raises:
        RefusedError: it is another account's or another chain's, of a kind that this chain does not have, or no
            transaction at all.
    """
    if not isinstance(arguments, Mapping):
        raise RefusedError("the transaction is no object")
    given = {name: value for name, value in arguments.items() if value is not None}
    if not _BLOB_FIELDS.isdisjoint(given):
        raise RefusedError(NO_BLOBS)
    if "authorizationList" in given:
        raise RefusedError("the node's account signs no transactions with authorizations (EIP-7702, type 4)")
    if unknown := sorted(given.keys() - _FIELDS):
        # Left out without a word it would be another transaction than the one that was asked for.
        raise RefusedError(f"the transaction has a field that is not known here: {unknown[0][:40]}")
    sender = _address(given, "from")
    if sender != account:
        raise RefusedError(f"0x{sender.hex()} is not the node's account, which is 0x{account.hex()}")
    # geth leaves the chain out, or has 0 there, where it leaves the choice to the signer (SignTx).
    named = _quantity(given, "chainId", 256, 0)
    if named not in {0, chain_id}:
        raise RefusedError(f"the transaction is for chain {named}, and this is chain {chain_id}")
    if "data" in given and "input" in given and given["data"] != given["input"]:
        raise RefusedError("data and input are both given and differ")
    nonce = _quantity(given, "nonce", 64)
    if nonce > _MOST_NONCE:
        raise RefusedError("nonce: too large (EIP-2681)")
    dynamic = "maxFeePerGas" in given or "maxPriorityFeePerGas" in given
    if dynamic and "gasPrice" in given:
        raise RefusedError("gasPrice and maxFeePerGas or maxPriorityFeePerGas are both given")
    access_list = _access_list(given["accessList"]) if "accessList" in given else None
    return Transaction(
        chain_id=chain_id,
        nonce=nonce,
        gas=_quantity(given, "gas", 64),
        to=_address(given, "to") if "to" in given else b"",
        value=_quantity(given, "value", 256, 0),
        data=_data(given, "input" if "input" in given else "data") if {"input", "data"} & given.keys() else b"",
        gas_price=None if dynamic else _quantity(given, "gasPrice", 256),
        tip=_quantity(given, "maxPriorityFeePerGas", 256) if dynamic else 0,
        fee_cap=_quantity(given, "maxFeePerGas", 256) if dynamic else 0,
        access_list=(access_list or ()) if dynamic else access_list,
    )


def sign(transaction: Transaction, key: AccountKey) -> dict[str, Any]:
    """The signed transaction as geth takes it: `raw` in hex, and `tx`, its JSON form."""
    one = transaction
    kind, fields = one.type, _payload(one)
    envelope = bytes([kind]) if kind else b""
    unsigned = envelope + rlp.encode(fields if kind else [*fields, one.chain_id, 0, 0])
    r, s, parity = key.sign(keccak256(unsigned))
    v = parity if kind else 35 + 2 * one.chain_id + parity
    raw = envelope + rlp.encode([*fields, v, r, s])
    shown: dict[str, Any] = {
        "type": hex(kind),
        "chainId": hex(one.chain_id),
        "nonce": hex(one.nonce),
        "to": f"0x{one.to.hex()}" if one.to else None,
        "gas": hex(one.gas),
        "value": hex(one.value),
        "input": f"0x{one.data.hex()}",
        "v": hex(v),
        "r": hex(r),
        "s": hex(s),
        "hash": f"0x{keccak256(raw).hex()}",
    }
    if one.gas_price is None:
        shown |= {"maxPriorityFeePerGas": hex(one.tip), "maxFeePerGas": hex(one.fee_cap)}
    else:
        shown["gasPrice"] = hex(one.gas_price)
    if one.access_list is not None:
        shown["yParity"] = hex(parity)
        shown["accessList"] = [
            {"address": f"0x{address.hex()}", "storageKeys": [f"0x{key.hex()}" for key in keys]}
            for address, keys in one.access_list
        ]
    return {"raw": f"0x{raw.hex()}", "tx": shown}


def _payload(one: Transaction) -> list[rlp.Item]:
    """The fields before the signature, in the order of EIP-1559, EIP-2930 and the Yellow Paper."""
    middle: list[rlp.Item] = [one.gas, one.to, one.value, one.data]
    if one.gas_price is None:
        return [one.chain_id, one.nonce, one.tip, one.fee_cap, *middle, one.access_list or ()]
    if one.access_list is None:
        return [one.nonce, one.gas_price, *middle]
    return [one.chain_id, one.nonce, one.gas_price, *middle, one.access_list]


def address_of(value: Any, name: str) -> bytes:
    """20 bytes from hex. Raises RefusedError, which calls it `name`."""
    data = data_of(value, name)
    if len(data) != 20:
        raise RefusedError(f"{name}: not an address (20 bytes in hex)")
    return data


def data_of(value: Any, name: str) -> bytes:
    """Bytes from hex. Raises RefusedError, which calls them `name`."""
    match = _DATA.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise RefusedError(f"{name}: not bytes in hex (0x…)")
    return bytes.fromhex(match[1])


def _address(given: Mapping[str, Any], name: str) -> bytes:
    return address_of(given.get(name), name)


def _data(given: Mapping[str, Any], name: str) -> bytes:
    return data_of(given[name], name)


def _quantity(given: Mapping[str, Any], name: str, bits: int, default: int | None = None) -> int:
    value = given.get(name)
    if value is None and default is not None:
        return default
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or (number := int(match[1], 16)) >= 2**bits:
        raise RefusedError(f"{name}: not a number of at most {bits} bits in hex (0x…)")
    return number


def _access_list(value: Any) -> AccessList:
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise RefusedError("accessList: not a list of addresses and storage keys")
    entries = []
    for entry in value:
        keys = entry.get("storageKeys") or []
        if not isinstance(keys, list):
            raise RefusedError("accessList: storageKeys is no list")
        slots = tuple(data_of(key, "accessList: storageKeys") for key in keys)
        if any(len(slot) != 32 for slot in slots):
            raise RefusedError("accessList: storageKeys: not 32 bytes in hex")
        entries.append((address_of(entry.get("address"), "accessList: address"), slots))
    return tuple(entries)
