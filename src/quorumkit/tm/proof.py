"""Proving to another transaction manager that one holds a TM key.

Curve25519 keys cannot sign, but any two of them share a secret that nobody else knows (X25519, as in NaCl's box). The
manager that is asked gives a challenge of its own making; the asker answers it with a MAC under that secret, over both
keys, the challenge and the request. Nothing is decrypted on either side, so neither can be used to open anything.

In HTTP's terms (RFC 9110, section 11) it is an authentication scheme of its own, with one value in base64:

    WWW-Authenticate: Quorumkit-TM-Key CHALLENGE, followed by the TM public keys of the manager that is asked
    Authorization: Quorumkit-TM-Key one of those keys, MAC (HMAC-SHA256), CHALLENGE
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Collection

from quorumkit.tm.enclave import Enclave
from quorumkit.tm.errors import UnknownPartyError
from quorumkit.tm.wire import KEY_BYTES

SCHEME = "Quorumkit-TM-Key"

CHALLENGE_LIFE = 30.0
"""Seconds in which a challenge may be answered, once."""

_PURPOSE = b"quorumkit tm resend v1"
_TIME_BYTES = 8
_NONCE_BYTES = 16
_MAC_BYTES = 32
_CHALLENGE_BYTES = _TIME_BYTES + _NONCE_BYTES + _MAC_BYTES
_MOST_KEYS = 100
"""Named in one challenge: a header must stay below what HTTP clients take."""


class Challenges:
    """What this manager asks of those who say that they hold a key. Kept nowhere until it is answered rightly, so that
    strangers cannot fill anything."""

    def __init__(self, enclave: Enclave, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._enclave = enclave
        self._clock = clock
        self._secret = os.urandom(_MAC_BYTES)
        self._answered: dict[bytes, float] = {}

    def header(self) -> str:
        """A new challenge: the value of `WWW-Authenticate`."""
        expiry = int((self._clock() + CHALLENGE_LIFE) * 1000).to_bytes(_TIME_BYTES, "big")
        begun = expiry + os.urandom(_NONCE_BYTES)
        return _format(begun + self._own_mac(begun) + b"".join(self._enclave.keys[:_MOST_KEYS]))

    def answered_by(self, key: bytes, body: bytes, header: str) -> bool:
        """Whether `header`, the value of `Authorization`, proves that whoever sent `body` holds `key`."""
        content = _parse(header)
        if content is None or len(content) != KEY_BYTES + _MAC_BYTES + _CHALLENGE_BYTES:
            return False
        own, mac, challenge = _split(content, KEY_BYTES, _MAC_BYTES)
        now = self._clock()
        self._answered = {used: expiry for used, expiry in self._answered.items() if expiry > now}
        if not self._enclave.holds(own) or challenge in self._answered or not self._is_current(challenge, now):
            return False
        try:
            right = self._enclave.mac(own, key, _message(key, own, challenge, body))
        except UnknownPartyError:
            return False
        if not hmac.compare_digest(mac, right):
            return False
        self._answered[challenge] = now + CHALLENGE_LIFE
        return True

    def _is_current(self, challenge: bytes, now: float) -> bool:
        begun, mac = challenge[:-_MAC_BYTES], challenge[-_MAC_BYTES:]
        expiry = int.from_bytes(begun[:_TIME_BYTES], "big") / 1000
        return hmac.compare_digest(mac, self._own_mac(begun)) and now < expiry

    def _own_mac(self, begun: bytes) -> bytes:
        return hmac.digest(self._secret, begun, "sha256")


def prove(enclave: Enclave, key: bytes, peer_keys: Collection[bytes], body: bytes, header: str) -> str | None:
    """The value of `Authorization` with which this node proves that it holds `key`, for sending `body` again.

    `header` is what the peer's `WWW-Authenticate` said. None if that is no challenge, or names none of `peer_keys`,
    which are those that the peer is known to hold: a proof is for one manager, and worth nothing to any other.
    """
    content = _parse(header)
    if content is None or (len(content) - _CHALLENGE_BYTES) % KEY_BYTES:
        return None
    challenge, named = content[:_CHALLENGE_BYTES], content[_CHALLENGE_BYTES:]
    for start in range(0, len(named), KEY_BYTES):
        other = named[start : start + KEY_BYTES]
        if other in peer_keys:
            return _format(other + enclave.mac(key, other, _message(key, other, challenge, body)) + challenge)
    return None


def _message(asker: bytes, asked: bytes, challenge: bytes, body: bytes) -> bytes:
    """Which key asks which comes in: the secret is the same for both, and a proof must not serve the other way."""
    return b"".join((_PURPOSE, asker, asked, hashlib.sha256(challenge).digest(), hashlib.sha256(body).digest()))


def _format(content: bytes) -> str:
    return f"{SCHEME} {base64.b64encode(content).decode()}"


def _parse(header: str) -> bytes | None:
    scheme, _, value = header.partition(" ")
    if scheme.lower() != SCHEME.lower():
        return None
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None


def _split(content: bytes, *sizes: int) -> tuple[bytes, ...]:
    parts = []
    for size in sizes:
        parts.append(content[:size])
        content = content[size:]
    return (*parts, content)
