"""Keys of a node: made here, in memory."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field

from quorumkit.identity.keystore import checksum_address, encrypt_key, keccak256

if TYPE_CHECKING:
    from quorumkit.tm.keys import KeyPair

_ENODE_KEY = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class PublicIdentity:
    """What the others know a node by."""

    enode_key: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]
    """The nodekey's public half: 64 bytes in hex (an uncompressed secp256k1 point without its 0x04)."""
    account: Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
    """The account that seals and sends for the node: an EIP-55 checksummed address."""
    tm_key: str | None = None
    """The transaction manager's public key, in base64, where the node has one."""
    further_keys: Mapping[str, Annotated[str, Field(pattern=r"^[0-9a-f]{1,128}$")]] = field(
        default_factory=dict, hash=False
    )
    """The public halves in hex of what else its client needs, by name (`FurtherKeys`)."""

    @property
    def node_address(self) -> str:
        """The nodekey's own address, by which some consensus kinds know a validator."""
        return checksum_address(keccak256(bytes.fromhex(self.enode_key))[12:].hex())

    def __post_init__(self) -> None:
        if not _ENODE_KEY.fullmatch(self.enode_key):
            raise ValueError(f"not a public key of 64 bytes in hex: {self.enode_key!r}")


@dataclass(frozen=True)
class MadeKeys:
    """New keys of a node."""

    files: Mapping[Path, bytes] = field(repr=False)
    """What is written, by path below the node's directory. Secrets."""
    public: Mapping[str, str]
    """The public halves in hex, by name."""


class FurtherKeys(Protocol):
    """The keys that a client needs beyond nodekey, account and transaction manager's key."""

    names: tuple[str, ...]

    def make(self) -> MadeKeys:
        """New ones, from the operating system's randomness."""
        ...

    def read(self, directory: Path) -> Mapping[str, str]:
        """The public halves of those in a node's directory, in hex, by name.

        Raises:
            CorruptFileError: one is missing, unreadable or not a key.
        """
        ...


@dataclass(frozen=True)
class NodeSecrets:
    """What must stay on the node. Kept out of `repr`, so out of logs and tracebacks."""

    nodekey: bytes = field(repr=False)
    """devp2p private key, 32 bytes."""
    keystore: dict[str, Any] = field(repr=False)
    """The account's key, encrypted: Web3 Secret Storage v3."""
    password: str = field(repr=False)
    """Opens `keystore`: 256 random bits in URL-safe base64."""
    identity: PublicIdentity
    tm_key: KeyPair | None = field(default=None, repr=False)
    further: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    """Files of further keys, by path below the node's directory."""


def generate_secrets(*, transaction_manager: bool = False, further: FurtherKeys | None = None) -> NodeSecrets:
    """New keys from the operating system's randomness. Safe to call from several threads at once."""
    import coincurve

    tm_key = None
    if transaction_manager:
        from quorumkit.tm.keys import generate_key_pair

        tm_key = generate_key_pair()

    nodekey = coincurve.PrivateKey()
    account = coincurve.PrivateKey()
    password = secrets.token_urlsafe(32)
    made = further.make() if further else None
    # An address is the last 20 bytes of the public key's hash (Yellow Paper, appendix F).
    address = keccak256(account.public_key.format(compressed=False)[1:])[12:].hex()
    return NodeSecrets(
        nodekey=nodekey.secret,
        keystore=encrypt_key(account.secret, password, address=address),
        password=password,
        identity=PublicIdentity(
            enode_key=enode_key_of(nodekey.secret),
            account=checksum_address(address),
            tm_key=tm_key.public_base64 if tm_key else None,
            further_keys=made.public if made else {},
        ),
        tm_key=tm_key,
        further=made.files if made else {},
    )


def enode_key_of(nodekey: bytes) -> str:
    """The public half of a nodekey, as an enode URL carries it.

    Raises:
        ValueError: it is not 32 bytes, or they are not a secp256k1 private key.
    """
    import coincurve

    if len(nodekey) != 32:  # coincurve would pad it
        raise ValueError(f"{len(nodekey)} bytes")
    return coincurve.PrivateKey(nodekey).public_key.format(compressed=False)[1:].hex()
