"""An account's key, encrypted: Web3 Secret Storage version 3 with scrypt."""

from __future__ import annotations

import hashlib
import hmac
import os
import uuid
from collections.abc import Mapping
from typing import Any

SCRYPT_N = 4096
"""geth's LightScryptN. A password of 256 random bits cannot be guessed, so a costly KDF would protect nothing more."""

_SCRYPT_R = 8
_SCRYPT_P = 1
_SCRYPT_MEMORY = 2 * 128 * SCRYPT_N * _SCRYPT_R  # bytes; what scrypt takes (RFC 7914), and room
_KEY_BYTES = 32
_MOST_MEMORY = 256 * 2**20  # bytes; geth's StandardScryptN (2**18) with r = 8
_MOST_PASSES = 16


def encrypt_key(key: bytes, password: str, *, address: str) -> dict[str, Any]:
    """The keystore of a private key; `address` is its account, in lower-case hexadecimal digits without 0x.

    The KDF comes from OpenSSL, which lets other threads run meanwhile.
    """
    from Crypto.Cipher import AES

    salt, iv = os.urandom(32), os.urandom(16)
    derived = hashlib.scrypt(
        password.encode(), salt=salt, n=SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, maxmem=_SCRYPT_MEMORY, dklen=_KEY_BYTES
    )
    ciphertext = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=iv).encrypt(key)
    return {
        "address": address,
        "crypto": {
            "cipher": "aes-128-ctr",
            "cipherparams": {"iv": iv.hex()},
            "ciphertext": ciphertext.hex(),
            "kdf": "scrypt",
            "kdfparams": {"dklen": _KEY_BYTES, "n": SCRYPT_N, "p": _SCRYPT_P, "r": _SCRYPT_R, "salt": salt.hex()},
            "mac": keccak256(derived[16:32] + ciphertext).hex(),
        },
        "id": str(uuid.UUID(bytes=os.urandom(16), version=4)),
        "version": 3,
    }


def opens(keystore: Mapping[str, Any], password: str) -> bool:
    """Whether a password opens a keystore, by its MAC. One with another KDF than ours (scrypt), or with costs that
    no client gives it, it does not."""
    try:
        _derived_key(keystore, password.encode())
    except ValueError:
        return False
    return True


def decrypt_key(keystore: Mapping[str, Any], password: bytes) -> bytes:
    """The private key in a keystore, 32 bytes. Slow by design: with the costs that geth gives it by itself, a second.

    Raises:
        ValueError: the password does not open it (see `opens`), or what it holds is no key.
    """
    from Crypto.Cipher import AES

    derived = _derived_key(keystore, password)
    try:
        crypto = keystore["crypto"]
        if crypto["cipher"] != "aes-128-ctr":
            raise ValueError("another cipher than aes-128-ctr")
        iv = bytes.fromhex(crypto["cipherparams"]["iv"])
        cipher = AES.new(derived[:16], AES.MODE_CTR, nonce=b"", initial_value=iv)
        key = cipher.decrypt(bytes.fromhex(crypto["ciphertext"]))
    except (KeyError, TypeError):
        raise ValueError("not a keystore (Web3 Secret Storage v3)") from None
    if len(key) != _KEY_BYTES:
        raise ValueError("it holds no key of 32 bytes")
    return key


def _derived_key(keystore: Mapping[str, Any], password: bytes) -> bytes:
    """What the password opens a keystore with. Raises ValueError where it does not."""
    try:
        crypto = keystore["crypto"]
        parameters = crypto["kdfparams"]
        n, r, p = int(parameters["n"]), int(parameters["r"]), int(parameters["p"])
        if crypto["kdf"] != "scrypt" or 128 * n * r > _MOST_MEMORY or not 0 < p <= _MOST_PASSES:
            raise ValueError("another KDF than scrypt, or with other costs than clients give it")
        derived = hashlib.scrypt(
            password, salt=bytes.fromhex(parameters["salt"]), n=n, r=r, p=p,
            maxmem=2 * _MOST_MEMORY, dklen=_KEY_BYTES,
        )  # fmt: skip
        expected = keccak256(derived[16:32] + bytes.fromhex(crypto["ciphertext"]))
        mac = bytes.fromhex(crypto["mac"])
    except (KeyError, TypeError, OverflowError):
        raise ValueError("not a keystore (Web3 Secret Storage v3)") from None
    if not hmac.compare_digest(expected, mac):
        raise ValueError("could not decrypt key with given password")
    return derived


def keccak256(data: bytes) -> bytes:
    """Ethereum's hash: Keccak as it was before it became SHA-3."""
    from Crypto.Hash import keccak

    return keccak.new(digest_bits=256, data=data).digest()


def checksum_address(address: str) -> str:
    """The EIP-55 spelling of an address in lower-case hexadecimal digits without 0x: a digit's case is a bit of the
    hash of them all."""
    digest = keccak256(address.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(bit, 16) >= 8 else digit for digit, bit in zip(address, digest, strict=False)
    )
