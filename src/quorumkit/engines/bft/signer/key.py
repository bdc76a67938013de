"""The account's key while the signer runs: in memory alone, and shown by nothing."""

from __future__ import annotations

import coincurve

from quorumkit.identity.keystore import keccak256


class AccountKey:
    """A secp256k1 key and its account."""

    def __init__(self, secret: bytes) -> None:
        """Raises:
        ValueError: that is no private key.
        """
        self._key = coincurve.PrivateKey(secret)
        self.address = keccak256(self._key.public_key.format(compressed=False)[1:])[12:]
        """20 bytes (Yellow Paper, appendix F)."""

    def sign(self, digest: bytes) -> tuple[int, int, int]:
        """r, s (the lower of two, EIP-2) and parity of the signature of 32 bytes. The same each time (RFC 6979)."""
        signature = self._key.sign_recoverable(digest, hasher=None)
        return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]

    def __repr__(self) -> str:
        return f"<key of 0x{self.address.hex()}>"
