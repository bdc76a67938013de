"""The bytes transaction managers exchange: encrypted payloads and party information.

The encoding is the one Constellation took from Haskell's `Data.Binary`: a number is 8 bytes, big-endian;
a field is its length as a number and then its bytes; a list is its count as a number and then its elements.
A payload is, in this order: sender key, cipher text, nonce, list of recipient boxes, recipient nonce and,
since Tessera, list of recipient keys. Constellation stops reading before the last list.

crux, which set out to speak the same protocol, wraps both messages differently (see `Dialect`). All variants can be
told apart by one number, so everything is read; what is written depends on who will read it.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from quorumkit.tm.errors import WireError

KEY_BYTES = 32
NONCE_BYTES = 24
MAC_BYTES = 16
BOX_BYTES = KEY_BYTES + MAC_BYTES
"""A recipient box holds the payload's master key, sealed."""
HASH_BYTES = 64

_NUMBER_BYTES = 8
_STANDARD_PRIVATE = b"\x00"


class Dialect(enum.Enum):
    """How a peer writes; it reads the same."""

    CLASSIC = "classic"
    """Constellation and Tessera."""
    CRUX = "crux"
    """A payload is a field in a list of two, beside the list of recipient keys, which is empty unless the payload goes
    back to its sender; a key and its URL are a list of two."""


@dataclass(frozen=True)
class EncryptedPayload:
    """A payload as it is stored and sent: the cipher text, and the key to it sealed once for every recipient."""

    sender: bytes
    """TM public key, 32 bytes."""
    cipher_text: bytes
    """The payload in a NaCl secretbox under a random master key."""
    nonce: bytes
    """Of `cipher_text`, 24 bytes."""
    recipient_boxes: tuple[bytes, ...]
    """The master key in a NaCl box from the sender to each recipient, 48 bytes each."""
    recipient_nonce: bytes
    """Of every recipient box, 24 bytes."""
    recipient_keys: tuple[bytes, ...] = ()
    """TM public keys in the order of `recipient_boxes`, or none: Constellation does not send them."""

    @cached_property
    def hash(self) -> bytes:
        """The payload hash, 64 bytes: what stands in the public transaction instead of the payload."""
        return hashlib.sha3_512(self.cipher_text).digest()


@dataclass(frozen=True)
class PartyInfo:
    """What a transaction manager tells others of itself and of those it knows."""

    url: str
    recipients: tuple[tuple[bytes, str], ...]
    """TM public key and the URL of the transaction manager that holds it."""
    parties: tuple[str, ...]
    """URLs of transaction managers."""


def encode_payload(payload: EncryptedPayload, dialect: Dialect = Dialect.CLASSIC) -> bytes:
    """The bytes of `/push` and of a resent payload."""
    fields = b"".join(
        (
            _field(payload.sender),
            _field(payload.cipher_text),
            _field(payload.nonce),
            _list(payload.recipient_boxes),
            _field(payload.recipient_nonce),
        )
    )
    keys = _list(payload.recipient_keys)
    if dialect is Dialect.CRUX:
        return _list((fields, keys))
    return fields + keys


def decode_payload(data: bytes) -> EncryptedPayload:
    """Reads any of the variants.

    Raises WireError for anything that is not whole, not of the right lengths, or uses Tessera's privacy enhancements.
    """
    reader = _Reader(data, "payload")
    if reader.peek() == 2:
        reader.number()
        inner = _Reader(reader.field("payload"), "payload")
        keys = _Reader(reader.field("recipient keys"), "payload")
        payload = _read_payload(inner, keys)
        keys.end()
        inner.end()
        reader.end()
        return payload
    payload = _read_payload(reader, reader)
    if reader.remaining:
        _refuse_enhanced_privacy(reader)
    return payload


def encode_party_info(info: PartyInfo, dialect: Dialect = Dialect.CLASSIC) -> bytes:
    """The bytes of `/partyinfo`. Without recipients they are the same in every dialect."""
    parts = [_field(info.url.encode()), _number(len(info.recipients))]
    for key, url in info.recipients:
        if dialect is Dialect.CRUX:
            parts.append(_number(2))
        parts += (_field(key), _field(url.encode()))
    parts.append(_list(url.encode() for url in info.parties))
    return b"".join(parts)


def decode_party_info(data: bytes) -> tuple[PartyInfo, Dialect]:
    """Party information and the dialect it was written in (CLASSIC where it could be either).

    What follows the list of parties is not read: Tessera puts a ledger id there, crux zeros.
    Raises WireError.
    """
    reader = _Reader(data, "party information")
    url = _text(reader.field("url"))
    dialect = Dialect.CLASSIC
    recipients = []
    for _ in range(reader.count("recipients")):
        if reader.peek() == 2:
            dialect = Dialect.CRUX
            reader.number()
        key = reader.field("recipient key", KEY_BYTES)
        recipients.append((key, _text(reader.field("recipient url"))))
    parties = tuple(_text(party) for party in reader.fields("parties"))
    return PartyInfo(url, tuple(recipients), parties), dialect


def _read_payload(reader: _Reader, keys_reader: _Reader) -> EncryptedPayload:
    sender = reader.field("sender", KEY_BYTES)
    cipher_text = reader.field("cipher text")
    nonce = reader.field("nonce", NONCE_BYTES)
    boxes = reader.fields("recipient boxes", BOX_BYTES)
    recipient_nonce = reader.field("recipient nonce", NONCE_BYTES)
    keys = keys_reader.fields("recipient keys", KEY_BYTES) if keys_reader.remaining else ()
    if len(cipher_text) < MAC_BYTES:
        raise WireError("payload: the cipher text is shorter than its authenticator")
    if not boxes:
        raise WireError("payload: no recipient box")
    if keys and len(keys) != len(boxes):
        raise WireError(f"payload: {len(boxes)} recipient boxes for {len(keys)} recipient keys")
    return EncryptedPayload(sender, cipher_text, nonce, boxes, recipient_nonce, keys)


def _refuse_enhanced_privacy(reader: _Reader) -> None:
    """Reads what Tessera 20.10 and later append to every payload; for a standard private one it says nothing.

    A privacy group id may follow; it names the group, which the recipients' keys already do.
    """
    flag = reader.field("privacy flag")
    affected = reader.number()
    if flag != _STANDARD_PRIVATE or affected:
        raise WireError("payload: privacy enhancements (party protection, state validation) are not offered")
    if reader.remaining:
        reader.field("privacy group id")
    reader.end()


def _number(value: int) -> bytes:
    return value.to_bytes(_NUMBER_BYTES, "big")


def _field(content: bytes) -> bytes:
    return _number(len(content)) + content


def _list(contents: Iterable[bytes]) -> bytes:
    fields = [_field(content) for content in contents]
    return _number(len(fields)) + b"".join(fields)


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise WireError("party information: a URL is not UTF-8") from error


class _Reader:
    """Reads front to back. No length is believed that the bytes at hand do not bear out."""

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._at = 0
        self._what = what

    @property
    def remaining(self) -> int:
        return len(self._data) - self._at

    def peek(self) -> int | None:
        """The next number, without taking it; None where there is none."""
        if self.remaining < _NUMBER_BYTES:
            return None
        return int.from_bytes(self._data[self._at : self._at + _NUMBER_BYTES], "big", signed=True)

    def number(self) -> int:
        value = self.peek()
        if value is None:
            raise WireError(f"{self._what}: ends within a number")
        self._at += _NUMBER_BYTES
        return value

    def field(self, name: str, length: int | None = None) -> bytes:
        size = self.number()
        if not 0 <= size <= self.remaining:
            raise WireError(f"{self._what}: the length of {name} is {size}, {self.remaining} bytes are left")
        if length is not None and size != length:
            raise WireError(f"{self._what}: {name} has {size} bytes, not {length}")
        start, self._at = self._at, self._at + size
        return self._data[start : self._at]

    def count(self, name: str) -> int:
        count = self.number()
        if not 0 <= count <= self.remaining // _NUMBER_BYTES:
            raise WireError(f"{self._what}: {name} cannot be {count}, {self.remaining} bytes are left")
        return count

    def fields(self, name: str, length: int | None = None) -> tuple[bytes, ...]:
        return tuple(self.field(name, length) for _ in range(self.count(name)))

    def end(self) -> None:
        if self.remaining:
            raise WireError(f"{self._what}: {self.remaining} bytes too many")
