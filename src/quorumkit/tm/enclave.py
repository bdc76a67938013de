"""Sealing and opening payloads with the node's TM keys. No I/O, and nothing here hands out a private key.

A payload is sealed once with a random master key (NaCl secretbox), the master key once for every party
(NaCl box, which also proves who sealed it). The payload hash is over the cipher text, so sealing the same
cipher text for other parties keeps it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import replace

from nacl.bindings import (
    crypto_box_afternm,
    crypto_box_beforenm,
    crypto_box_open_afternm,
    crypto_secretbox,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError

from quorumkit.tm.errors import BadRequestError, PayloadNotFoundError, UnknownPartyError
from quorumkit.tm.keys import KeyPair, format_public_key
from quorumkit.tm.wire import KEY_BYTES, NONCE_BYTES, EncryptedPayload

_MAX_SHARED_KEYS = 10_000
"""64 bytes and some each. What strangers send must not let the cache grow without end."""


class Enclave:
    """The node's TM keys at work."""

    def __init__(self, key_pairs: Sequence[KeyPair]) -> None:
        """`key_pairs` is not empty; the first is used where a request names no sender."""
        self._private = {pair.public: pair.private for pair in key_pairs}
        self._shared: dict[tuple[bytes, bytes], bytes] = {}
        self.default_key = key_pairs[0].public

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The node's TM public keys, in the order of tm.conf."""
        return tuple(self._private)

    def holds(self, key: bytes) -> bool:
        """Whether `key` is one of the node's."""
        return key in self._private

    def seal(self, payload: bytes, sender: bytes, parties: Sequence[bytes]) -> EncryptedPayload:
        """Encrypts `payload` for `parties`, who may include the sender.

        Raises BadRequestError (sender not of this node), UnknownPartyError (a key no box can be made for).
        """
        master = os.urandom(KEY_BYTES)
        nonce = os.urandom(NONCE_BYTES)
        return self._address(sender, crypto_secretbox(payload, nonce, master), nonce, master, parties)

    def readdress(self, payload: EncryptedPayload, parties: Sequence[bytes]) -> EncryptedPayload:
        """The same cipher text, so the same payload hash, for other parties. Raises like `seal` and `open`."""
        master, _ = self._master_key(payload, None)
        return self._address(payload.sender, payload.cipher_text, payload.nonce, master, parties)

    def open(self, payload: EncryptedPayload, to: bytes | None = None) -> bytes:
        """The payload, read as `to` or as whichever key of the node opens it.

        Raises PayloadNotFoundError if none does.
        """
        master, _ = self._master_key(payload, to)
        return _open_with(master, payload)

    def addressee(self, payload: EncryptedPayload) -> bytes:
        """The key that `payload` is addressed to: one of the node's or, for a payload the node sent, its first party.

        Raises PayloadNotFoundError if the node is no party to it, or it does not open.
        """
        master, recipient = self._master_key(payload, None)
        _open_with(master, payload)
        return recipient

    def mac(self, own: bytes, other: bytes, message: bytes) -> bytes:
        """HMAC-SHA256 of `message` under what `own`, a key of the node's, and `other` alone share.

        Raises UnknownPartyError (`other` cannot be a TM public key).
        """
        return hmac.digest(self._shared_key(own, other), message, "sha256")

    def _address(
        self, sender: bytes, cipher_text: bytes, nonce: bytes, master: bytes, parties: Sequence[bytes]
    ) -> EncryptedPayload:
        if not self.holds(sender):
            raise BadRequestError(f"the sender {format_public_key(sender)} is not a key of this transaction manager")
        recipient_nonce = os.urandom(NONCE_BYTES)
        boxes = tuple(crypto_box_afternm(master, recipient_nonce, self._shared_key(sender, party)) for party in parties)
        return EncryptedPayload(sender, cipher_text, nonce, boxes, recipient_nonce, tuple(parties))

    def _master_key(self, payload: EncryptedPayload, to: bytes | None) -> tuple[bytes, bytes]:
        """The master key and the recipient whose box it was in."""
        readers = self.keys if to is None else (to,)
        if self.holds(payload.sender) and payload.recipient_keys:
            # A box opens for either end, so what the node sent it reads through the box of any party.
            for recipient, box in zip(payload.recipient_keys, payload.recipient_boxes, strict=True):
                if to in (None, payload.sender, recipient) and (
                    master := self._open_box(box, payload.recipient_nonce, payload.sender, recipient)
                ):
                    return master, recipient
        for reader in readers:
            if not self.holds(reader):
                continue
            for recipient, box in _boxes_for(reader, payload):
                if master := self._open_box(box, payload.recipient_nonce, recipient, payload.sender):
                    return master, recipient
        raise PayloadNotFoundError("this node is not a party to the payload")

    def _open_box(self, box: bytes, nonce: bytes, own: bytes, other: bytes) -> bytes | None:
        try:
            return crypto_box_open_afternm(box, nonce, self._shared_key(own, other))
        except (CryptoError, UnknownPartyError):
            return None

    def _shared_key(self, own: bytes, other: bytes) -> bytes:
        pair = (own, other)
        shared = self._shared.get(pair)
        if shared is None:
            try:
                shared = crypto_box_beforenm(other, self._private[own])
            except (RuntimeError, CryptoError, ValueError) as error:
                # libsodium refuses points of low order, which would make a key anybody can guess.
                raise UnknownPartyError(f"{format_public_key(other)} cannot be a TM public key") from error
            if len(self._shared) >= _MAX_SHARED_KEYS:
                self._shared.clear()
            self._shared[pair] = shared
        return shared


def for_recipient(payload: EncryptedPayload, recipient: bytes) -> EncryptedPayload | None:
    """What one recipient gets to see of a payload: no other recipient's box or key. None if it is not one."""
    for key, box in zip(payload.recipient_keys, payload.recipient_boxes, strict=False):
        if key == recipient:
            return replace(payload, recipient_boxes=(box,), recipient_keys=(key,))
    return None


def _open_with(master: bytes, payload: EncryptedPayload) -> bytes:
    try:
        return crypto_secretbox_open(payload.cipher_text, payload.nonce, master)
    except CryptoError as error:
        raise PayloadNotFoundError("the payload does not open with its key") from error


def _boxes_for(reader: bytes, payload: EncryptedPayload) -> list[tuple[bytes, bytes]]:
    """The boxes that may be the reader's: its own where keys are given, otherwise any."""
    if payload.recipient_keys:
        pairs = zip(payload.recipient_keys, payload.recipient_boxes, strict=True)
        return [(key, box) for key, box in pairs if key == reader]
    return [(reader, box) for box in payload.recipient_boxes]
