"""Proving that one knows the join secret, without sending it, and keeping outsiders from reading along.

Four keys are derived from the secret (HKDF with SHA-256, RFC 5869): one to authenticate and one to encrypt each of
request and answer. A request carries in its `Authorization` header

    Quorumkit v=1 key=KEY_ID time=MILLISECONDS nonce=NONCE body=SHA256 mac=MAC

where MAC is HMAC-SHA256 over version, method, path, time, nonce and the body's digest. So it can be judged before one
byte of the body is read. Bodies are sealed with XChaCha20-Poly1305; what they are an answer or a request to is the
associated data, so that none can be put in another's place. An answer is authenticated the same way, over the nonce
of the request it answers.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.secret import Aead

from quorumkit.errors import UsageError
from quorumkit.exchange.refusal import Refusal

SHORTEST_SECRET = 20
"""Characters. Whoever records one request can try secrets at leisure, so it must not be guessable."""

CLOCK_TOLERANCE = 60.0
"""Seconds that a request's time may be off the receiver's clock."""

ANSWER_HEADER = "Quorumkit-Answer"

_SALT = b"quorumkit exchange v1"
_HEADER = re.compile(
    r"Quorumkit v=1 key=(?P<key>[0-9a-f]{16}) time=(?P<time>\d{1,15}) nonce=(?P<nonce>[0-9a-f]{32})"
    r" body=(?P<body>[0-9a-f]{64}) mac=(?P<mac>[0-9a-f]{64})"
)
_PROOF = re.compile(r"[0-9a-f]{64}")
_MOST_NONCES = 100_000


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, length: int = 32) -> bytes:
    """RFC 5869: extract, then expand."""
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        output += block
        counter += 1
    return output[:length]


@dataclass(frozen=True)
class JoinKeys:
    """What is derived from the join secret. Kept out of `repr`, so out of logs and tracebacks."""

    key_id: str
    """Tells a wrong secret from a message that was changed on its way."""
    request_mac: bytes = field(repr=False)
    request_box: bytes = field(repr=False)
    answer_mac: bytes = field(repr=False)
    answer_box: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> JoinKeys:
        def key(info: bytes) -> bytes:
            return hkdf_sha256(secret, salt=_SALT, info=info)

        return cls(
            hkdf_sha256(secret, salt=_SALT, info=b"key id", length=8).hex(),
            key(b"request mac"),
            key(b"request box"),
            key(b"answer mac"),
            key(b"answer box"),
        )


def read_join_secret(path: Path) -> JoinKeys:
    """The keys of the secret in a file; white space around it does not count.

    Raises:
        UsageError: there is no such file, everybody on this machine can read it, or what it holds is too short.
    """
    hint = "make one: (umask 077; head -c 32 /dev/urandom | base64 > join-secret), and give every node the same file"
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise UsageError(f"join secret: {path}: {error.strerror or error}", hint=hint) from None
    if len(secret) < SHORTEST_SECRET:
        raise UsageError(f"join secret: {path}: shorter than {SHORTEST_SECRET} characters", hint=hint)
    if is_open_to_all(path):
        raise UsageError(
            f"join secret: {path}: every user of this machine can read or change it",
            hint=f"chmod 600 {path}, and make a new secret if others may have read this one",
        )
    return JoinKeys.derive(secret)


def is_open_to_all(path: Path) -> bool:
    """Whether any user of the machine can read or change a file.

    A file's group may read it: a Kubernetes secret is `root:fsGroup` 0440. What an orchestrator mounts is not judged by
    its mode: Docker's secrets are 0444 and Kubernetes' 0644 unless somebody says otherwise, on a read-only mount that
    no other user is there to look at.
    """
    file = path.resolve()
    if not file.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH):
        return False
    if os.statvfs(file).f_flag & os.ST_RDONLY:
        return False
    return _reachable_by_all(file)


def _reachable_by_all(file: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in file.parents)


@dataclass(frozen=True)
class Ticket:
    """What a request's header says, once it was found to be authentic and fresh."""

    nonce: str
    body: str
    """SHA-256 of the sealed body that is to follow, in hex."""


def seal_request(keys: JoinKeys, method: str, path: str, content: bytes, *, now: float) -> tuple[str, bytes, str]:
    """The `Authorization` header, the sealed body, and the nonce that the answer must be for."""
    nonce = os.urandom(16).hex()
    body = _seal(keys.request_box, content, f"{method} {path} {nonce}")
    digest = hashlib.sha256(body).hexdigest()
    time = str(int(now * 1000))
    mac = _request_mac(keys, method, path, time, nonce, digest)
    return f"Quorumkit v=1 key={keys.key_id} time={time} nonce={nonce} body={digest} mac={mac}", body, nonce


def check_ticket(
    keys: JoinKeys, method: str, path: str, header: str, *, now: float, nonces: Nonces, source: str
) -> Ticket:
    """Judges a request by its header alone. `source` names the sender in messages.

    Raises:
        Refusal: rubbish, wrong_secret, tampered, clock, replay or too_many.
    """
    match = _HEADER.fullmatch(header)
    if match is None:
        raise Refusal("rubbish", f"{source}: a request without a join secret's authentication")
    if not hmac.compare_digest(match["key"], keys.key_id):
        raise Refusal("wrong_secret", f"{source}: a request made with another join secret")
    mac = _request_mac(keys, method, path, match["time"], match["nonce"], match["body"])
    if not hmac.compare_digest(mac, match["mac"]):
        raise Refusal("tampered", f"{source}: a request that was changed after it was made")
    skew = int(match["time"]) / 1000 - now
    if abs(skew) > CLOCK_TOLERANCE:
        raise Refusal("clock", f"{source}: its clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours")
    nonces.take(match["nonce"], now, source)
    return Ticket(match["nonce"], match["body"])


def open_request(keys: JoinKeys, method: str, path: str, ticket: Ticket, body: bytes, *, source: str) -> bytes:
    """The content of the body that belongs to a ticket.

    Raises:
        Refusal: tampered.
    """
    if hashlib.sha256(body).hexdigest() != ticket.body:
        raise Refusal("tampered", f"{source}: another body than the one that was authenticated")
    return _open(keys.request_box, body, f"{method} {path} {ticket.nonce}", source)


def seal_answer(keys: JoinKeys, status: int, nonce: str, content: bytes) -> tuple[str, bytes]:
    """The `Quorumkit-Answer` header and the sealed body of the answer to the request with that nonce."""
    body = _seal(keys.answer_box, content, f"{status} {nonce}")
    return _answer_mac(keys, status, nonce, body), body


def open_answer(keys: JoinKeys, status: int, nonce: str, header: str | None, body: bytes, *, source: str) -> bytes:
    """The content of an answer.

    Raises:
        Refusal: tampered.
    """
    # A header may hold any byte; only of hexadecimal digits are two compared.
    proven = header is not None and _PROOF.fullmatch(header) is not None
    if not proven or not hmac.compare_digest(str(header), _answer_mac(keys, status, nonce, body)):
        raise Refusal("tampered", f"{source}: an answer that no node with our join secret gave to this request")
    return _open(keys.answer_box, body, f"{status} {nonce}", source)


class Nonces:
    """The nonces seen in the time in which a request could be sent again. Only authentic ones come here."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}

    def take(self, nonce: str, now: float, source: str) -> None:
        """Raises:
        Refusal: replay, or too_many to remember.
        """
        while self._seen:
            oldest, until = next(iter(self._seen.items()))
            if until > now:
                break
            del self._seen[oldest]
        if nonce in self._seen:
            raise Refusal("replay", f"{source}: a request that was here before")
        if len(self._seen) >= _MOST_NONCES:
            raise Refusal("too_many", f"{source}: more requests than can be remembered")
        # A request may be made by a clock that is ahead, and then stay fresh for twice the tolerance.
        self._seen[nonce] = now + 2 * CLOCK_TOLERANCE


def _request_mac(keys: JoinKeys, method: str, path: str, time: str, nonce: str, digest: str) -> str:
    return hmac.digest(keys.request_mac, "\n".join(("1", method, path, time, nonce, digest)).encode(), "sha256").hex()


def _answer_mac(keys: JoinKeys, status: int, nonce: str, body: bytes) -> str:
    digest = hashlib.sha256(body).hexdigest()
    return hmac.digest(keys.answer_mac, f"1\n{status}\n{nonce}\n{digest}".encode(), "sha256").hex()


def _seal(key: bytes, content: bytes, context: str) -> bytes:
    return bytes(Aead(key).encrypt(content, context.encode()))


def _open(key: bytes, body: bytes, context: str, source: str) -> bytes:
    try:
        return bytes(Aead(key).decrypt(body, context.encode()))
    except (CryptoError, ValueError):
        raise Refusal("tampered", f"{source}: a body that does not open with the join secret") from None
