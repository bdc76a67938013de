"""Transactions that are signed here: legacy ones, bound to their chain (EIP-155). Every chain takes them."""

from __future__ import annotations

from dataclasses import dataclass, field

from quorumkit import rlp
from quorumkit.identity.keystore import keccak256

_HASH_AND_Y = 65  # bytes of a recoverable signature: r, s, and which of two points


@dataclass(frozen=True)
class Key:
    """A private key and its account."""

    secret: bytes = field(repr=False)
    """32 bytes."""
    address: str
    """0x and 40 lower-case digits: the last 20 bytes of the public key's hash (Yellow Paper, appendix F)."""


def fresh_key() -> Key:
    """A new key, from the operating system's randomness; kept nowhere."""
    import coincurve

    return key_of(coincurve.PrivateKey().secret)


def key_of(secret: bytes) -> Key:
    """The key with that secret."""
    import coincurve

    public = coincurve.PrivateKey(secret).public_key.format(compressed=False)[1:]
    return Key(secret, "0x" + keccak256(public)[12:].hex())


def signed_transaction(
    key: Key, *, chain_id: int, nonce: int, gas_price: int, gas: int, to: str | None, data: str, value: int = 0
) -> str:
    """The raw transaction in hex, as eth_sendRawTransaction takes it; without `to` it creates a contract."""
    import coincurve

    fields: list[rlp.Item] = [
        nonce,
        gas_price,
        gas,
        bytes.fromhex((to or "").removeprefix("0x")),
        value,
        bytes.fromhex(data.removeprefix("0x")),
    ]
    digest = keccak256(rlp.encode([*fields, chain_id, 0, 0]))
    signature = coincurve.PrivateKey(key.secret).sign_recoverable(digest, hasher=None)
    assert len(signature) == _HASH_AND_Y
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    return "0x" + rlp.encode([*fields, 35 + 2 * chain_id + signature[64], r, s]).hex()


def contract_address(sender: str, nonce: int) -> str:
    """Where a contract comes to stand: keccak256(rlp([sender, nonce]))[12:] (Yellow Paper, section 7)."""
    return "0x" + keccak256(rlp.encode([bytes.fromhex(sender.removeprefix("0x")), nonce]))[12:].hex()
