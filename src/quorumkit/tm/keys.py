"""TM key pairs (Curve25519, as in NaCl's box) and the files they are kept in, in Constellation's format.

`NAME.pub` is the public key in base64. `NAME.key` is JSON: the private key in base64 (`unlocked`), or in a NaCl
secretbox whose key Argon2 derives from a password (`argon2sbox`).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.bindings import (
    crypto_box_keypair,
    crypto_scalarmult_base,
    crypto_secretbox,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError

from quorumkit.files import SECRET_MODE, write_atomic
from quorumkit.tm.errors import TmKeyError
from quorumkit.tm.wire import KEY_BYTES, NONCE_BYTES

_SALT_BYTES = 32

# RFC 9106's second recommended choice. Constellation's 1 GiB would be a burden on every start of every node.
_ARGON2 = {"variant": "id", "memory": 65536, "iterations": 3, "parallelism": 4, "version": "1.3"}
_ARGON2_VERSIONS = {"1.0": 0x10, "1.3": 0x13}
_ARGON2_LIMITS = {"memory": 4 * 1024 * 1024, "iterations": 1000, "parallelism": 256}
"""Memory in KiB. A key file that asks for more would stop the machine rather than open."""


@dataclass(frozen=True)
class KeyPair:
    """A TM key pair. The private half is kept out of `repr`, so out of logs and tracebacks."""

    public: bytes
    """32 bytes."""
    private: bytes = field(repr=False)
    """32 bytes."""

    @property
    def public_base64(self) -> str:
        return format_public_key(self.public)


def generate_key_pair() -> KeyPair:
    """A new pair from the operating system's randomness."""
    public, private = crypto_box_keypair()
    return KeyPair(public, private)


def format_public_key(key: bytes) -> str:
    """Base64, as `privateFor` and tm.pub have it."""
    return base64.b64encode(key).decode()


def parse_public_key(text: str) -> bytes:
    """The 32 bytes of a TM public key in base64. Raises TmKeyError."""
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise TmKeyError(f"not a TM public key: {text.strip()[:60]!r} is not base64") from error
    if len(key) != KEY_BYTES:
        raise TmKeyError(f"not a TM public key: {text.strip()[:60]!r} is {len(key)} bytes in base64, not {KEY_BYTES}")
    return key


def password_lines(content: bytes) -> list[bytes]:
    """The passwords in a file, one a line. A line ends with a line feed or CR LF, and nothing else is a line's end.

    A password is the bytes that stand there, in whatever encoding: programs that lock keys take them as they are too.
    """
    lines = content.split(b"\n")
    if not lines[-1]:
        del lines[-1]
    return [line.removesuffix(b"\r") for line in lines]


def encode_private_key(private: bytes, password: bytes | None = None) -> bytes:
    """The content of a private key file; locked if a password is given."""
    if not password:
        return _json({"data": {"bytes": _base64(private)}, "type": "unlocked"})
    salt = os.urandom(_SALT_BYTES)
    nonce = os.urandom(NONCE_BYTES)
    sealed = crypto_secretbox(private, nonce, _derive(password, salt, _ARGON2))
    data = {"aopts": _ARGON2, "asalt": _base64(salt), "snonce": _base64(nonce), "sbox": _base64(sealed)}
    return _json({"data": data, "type": "argon2sbox"})


def decode_private_key(content: bytes, password: bytes | None = None) -> bytes:
    """The private key in the content of a key file. Raises TmKeyError; its message never shows the content."""
    try:
        document = json.loads(content)
        kind, data = document["type"], document["data"]
        if kind == "unlocked":
            private = base64.b64decode(data["bytes"], validate=True)
        elif kind == "argon2sbox":
            private = _unlock(data, password)
        else:
            raise TmKeyError(f"the type of the key is {kind!r}, not 'unlocked' or 'argon2sbox'")
    except (KeyError, TypeError, ValueError) as error:
        raise TmKeyError(f"not a private key in Constellation's format ({type(error).__name__})") from error
    if len(private) != KEY_BYTES:
        raise TmKeyError(f"the private key has {len(private)} bytes, not {KEY_BYTES}")
    return private


def write_key_files(
    pair: KeyPair, directory: Path, *, name: str = "tm", password: bytes | None = None
) -> tuple[Path, Path]:
    """Writes NAME.key (0600) and NAME.pub into `directory` and returns their paths in that order.

    Files that are there are replaced: whoever calls decides whether a key may be lost.
    """
    private_path = directory / f"{name}.key"
    public_path = directory / f"{name}.pub"
    write_atomic(private_path, encode_private_key(pair.private, password), mode=SECRET_MODE)
    write_atomic(public_path, pair.public_base64.encode())  # no line end, as Constellation and Tessera write it
    return private_path, public_path


def load_public_key(path: Path) -> bytes:
    """The TM public key in a file. Raises TmKeyError naming the file."""
    try:
        return parse_public_key(_read(path).decode(errors="replace"))
    except TmKeyError as error:
        raise _about(path, error) from error


def load_key_pair(public_path: Path, private_path: Path, password: bytes | None = None) -> KeyPair:
    """The pair in two files. Raises TmKeyError naming the file: unusable, or not each other's half."""
    public = load_public_key(public_path)
    try:
        private = decode_private_key(_read(private_path), password)
    except TmKeyError as error:
        raise _about(private_path, error) from error
    if crypto_scalarmult_base(private) != public:
        raise TmKeyError(
            f"{private_path}: not the private key of {public_path}",
            hint="publickeys and privatekeys in tm.conf must stand in the same order",
        )
    return KeyPair(public, private)


def _unlock(data: Mapping[str, Any], password: bytes | None) -> bytes:
    if not password:
        raise TmKeyError(
            "the private key is locked and no password was given", hint="name a file in tm.conf: passwords"
        )
    salt, nonce, sealed = (base64.b64decode(data[name], validate=True) for name in ("asalt", "snonce", "sbox"))
    try:
        return crypto_secretbox_open(sealed, nonce, _derive(password, salt, data["aopts"]))
    except CryptoError as error:
        hint = None if _is_utf8(password) else "its bytes are taken as they are, and they are no UTF-8: was the key's?"
        raise TmKeyError("the private key does not open with the password given", hint=hint) from error


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _derive(password: bytes, salt: bytes, options: Mapping[str, Any]) -> bytes:
    # Only locked keys need Argon2; a node without one is spared the memory.
    from argon2.exceptions import Argon2Error
    from argon2.low_level import Type, hash_secret_raw

    types = {"i": Type.I, "d": Type.D, "id": Type.ID}
    # Tessera's files have the numbers as strings.
    cost = {name: int(options[name]) for name in _ARGON2_LIMITS}
    for name, limit in _ARGON2_LIMITS.items():
        if not 0 < cost[name] <= limit:
            raise TmKeyError(f"aopts.{name} is {cost[name]}; from 1 to {limit} can be done")
    try:
        return hash_secret_raw(
            password,
            salt,
            time_cost=cost["iterations"],
            memory_cost=cost["memory"],
            parallelism=cost["parallelism"],
            hash_len=KEY_BYTES,
            type=types[options["variant"]],
            version=_ARGON2_VERSIONS[options.get("version", "1.3")],
        )
    except Argon2Error as error:
        raise TmKeyError(f"Argon2 cannot work with aopts: {error}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TmKeyError(f"cannot be read: {error.strerror}") from error


def _about(path: Path, error: TmKeyError) -> TmKeyError:
    return TmKeyError(f"{path}: {error.message}", hint=error.hint)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _json(document: object) -> bytes:
    return (json.dumps(document) + "\n").encode()
