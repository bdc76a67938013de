"""Keys of a node on disk: where a geth-like client looks for them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from quorumkit.errors import CorruptFileError, NodeError
from quorumkit.files import SECRET_MODE, private_directory, write_atomic, write_new
from quorumkit.identity.keys import FurtherKeys, NodeSecrets, PublicIdentity, enode_key_of
from quorumkit.identity.keystore import checksum_address, decrypt_key, keccak256
from quorumkit.identity.keystores import find_account, find_keystore

NODEKEY = Path("data/geth/nodekey")
KEYSTORE = Path("data/keystore")
PASSWORD = Path("password")
TM_KEY = Path("tm/tm.key")
TM_PUBLIC_KEY = Path("tm/tm.pub")

_RESTORE = "put it back from a backup; the keys of a node are never made again over old ones"


def write_secrets(directory: Path, secrets: NodeSecrets, *, staged: bool = False) -> None:
    """Writes a new node's keys below its directory: files 0600, directories 0700.

    In a `staged` directory files are written plainly, and the caller sees to it that they are on the disk
    (`sync_trees`) before it gets its name.

    Raises:
        FileExistsError: there are keys already; nothing was touched.
    """
    present = [directory / path for path in (NODEKEY, PASSWORD, *secrets.further)]
    if any(path.exists() for path in present) or any((directory / KEYSTORE).glob("*")):
        raise FileExistsError(f"{directory} holds keys already")
    private_directory(directory)
    private_directory(directory / "data")
    private_directory(directory / NODEKEY.parent)
    private_directory(directory / KEYSTORE)
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S.%f000Z")
    address = secrets.keystore["address"]
    contents = {
        PASSWORD: secrets.password.encode() + b"\n",
        KEYSTORE / f"UTC--{stamp}--{address}": json.dumps(secrets.keystore).encode(),
    }
    if secrets.tm_key is not None:
        from quorumkit.tm.keys import encode_private_key

        private_directory(directory / TM_KEY.parent)
        contents[TM_KEY] = encode_private_key(secrets.tm_key.private)
        # Without a line end: Tessera takes the whole file for the key (com.quorum.tessera.config FilesystemKeyPair).
        contents[TM_PUBLIC_KEY] = secrets.tm_key.public_base64.encode()
    for path, content in secrets.further.items():
        for folder in [*reversed(path.parents)][1:]:
            private_directory(directory / folder)
        contents[path] = content
    contents[NODEKEY] = secrets.nodekey.hex().encode()
    write = write_new if staged else write_atomic
    for path, content in contents.items():
        write(directory / path, content, mode=SECRET_MODE)


def load_identity(directory: Path, further: FurtherKeys | None = None) -> PublicIdentity:
    """The public identity behind the keys in a node's directory, derived from the keys themselves; `further` are what
    its client needs beyond those that all have.

    Raises:
        CorruptFileError: a key is missing, unreadable or not a key.
    """
    return PublicIdentity(
        enode_key=_read_enode_key(directory),
        account=checksum_address(_read_address(directory)),
        tm_key=_read_tm_key(directory),
        further_keys=dict(further.read(directory)) if further else {},
    )


def check_identity(directory: Path, identity: PublicIdentity, further: FurtherKeys | None = None) -> None:
    """Checks that the keys in a node's directory are those of `identity`; `further` as with `load_identity`.

    Raises:
        CorruptFileError: a key is missing, unreadable, not a key, or another node's.
    """
    if _read_enode_key(directory) != identity.enode_key:
        raise CorruptFileError(f"{directory / NODEKEY}: not the nodekey of this node's enode", hint=_RESTORE)
    _read_address(directory, identity.account)
    if identity.tm_key is not None and _read_tm_key(directory) != identity.tm_key:
        raise CorruptFileError(
            f"{directory / TM_PUBLIC_KEY}: not the TM public key of this node's record", hint=_RESTORE
        )
    if further is not None and (found := dict(further.read(directory))) != dict(identity.further_keys):
        name = next(name for name in further.names if found.get(name) != identity.further_keys.get(name))
        raise CorruptFileError(f"{directory}: its key `{name}` is not that of this node's record", hint=_RESTORE)


def load_account_key(directory: Path, account: str) -> bytes:
    """The private key of the node's account, decrypted: 32 bytes. Slow by design (`decrypt_key`).

    Raises:
        CorruptFileError: the keystore or its password is missing or unreadable.
        NodeError: the password does not open it, or another account's key is in it.
    """
    import coincurve

    password = directory / PASSWORD
    _read_address(directory, account)
    _, keystore = find_keystore(directory / KEYSTORE, account, password, hint=_RESTORE)
    try:
        key = decrypt_key(keystore, password.read_bytes().strip())
        point = coincurve.PrivateKey(key).public_key.format(compressed=False)
    except (ValueError, OSError) as error:
        raise NodeError(
            f"{directory / KEYSTORE}: the keystore of {account} does not open: {error}",
            hint="put the node's `password` file back from a backup",
        ) from None
    if "0x" + keccak256(point[1:])[12:].hex() != account.lower():
        raise NodeError(f"{directory / KEYSTORE}: not the key of {account}", hint=_RESTORE)
    return key


def _read_tm_key(directory: Path) -> str | None:
    """The TM public key, checked against its private half; None where the node has none."""
    if not (directory / TM_KEY).exists() and not (directory / TM_PUBLIC_KEY).exists():
        return None
    from quorumkit.tm.errors import TmKeyError
    from quorumkit.tm.keys import load_key_pair

    try:
        return load_key_pair(directory / TM_PUBLIC_KEY, directory / TM_KEY).public_base64
    except TmKeyError as error:
        raise CorruptFileError(error.message, hint=_RESTORE) from None


def _read_enode_key(directory: Path) -> str:
    path = directory / NODEKEY
    try:
        return enode_key_of(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except FileNotFoundError:
        raise CorruptFileError(f"{path}: the nodekey is missing", hint=_RESTORE) from None
    except ValueError:
        raise CorruptFileError(f"{path}: not a nodekey (64 hexadecimal digits)", hint=_RESTORE) from None


def _read_address(directory: Path, wanted: str | None = None) -> str:
    """The node's account, which is `wanted` where that is known: 40 lower-case hexadecimal digits."""
    password = directory / PASSWORD
    if not password.is_file():
        raise CorruptFileError(f"{password}: the keystore's password is missing", hint=_RESTORE)
    return find_account(directory / KEYSTORE, wanted, password, hint=_RESTORE)
