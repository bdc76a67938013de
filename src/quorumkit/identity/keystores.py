"""The keystore files of a node's client: which of them is the node's own account.

A file is known by the address that stands in it, as the client knows it, and not by its name: others may lie beside it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quorumkit.errors import CorruptFileError
from quorumkit.identity.keystore import opens


def find_account(folder: Path, wanted: str | None, password: Path, *, hint: str) -> str:
    """The node's account in that folder: 40 lower-case hexadecimal digits. It is the `wanted` one (an address, in any
    spelling) where that is known, else the only one, else the one that the node's `password` opens.

    Raises:
        CorruptFileError: it is not there, is no keystore, or is there twice.
    """
    return find_keystore(folder, wanted, password, hint=hint)[0]


def find_keystore(folder: Path, wanted: str | None, password: Path, *, hint: str) -> tuple[str, dict[str, Any]]:
    """The same, and its keystore. Raises the same."""
    accounts: dict[str, list[Path]] = {}
    broken: list[Path] = []
    keystores: dict[str, dict[str, Any]] = {}
    for path in _files(folder):
        try:
            keystore = json.loads(path.read_bytes())
            address = str(keystore["address"]).lower().removeprefix("0x")
            if len(address) != 40 or len(bytes.fromhex(address)) != 20 or "crypto" not in keystore:
                raise ValueError("incomplete")
        except (ValueError, KeyError, TypeError, RecursionError):
            broken.append(path)
            continue
        accounts.setdefault(address, []).append(path)
        keystores[address] = keystore
    account = _own(keystores, password) if wanted is None else wanted.lower().removeprefix("0x")
    if account is not None and account in accounts:
        if len(accounts[account]) > 1:
            names = " and ".join(path.name for path in accounts[account])
            raise CorruptFileError(
                f"{folder}: {names} are the same account, and the client takes neither then",
                hint="move one of them out of the folder",
            )
        return account, keystores[account]
    if accounts and wanted is not None:
        raise CorruptFileError(f"{folder}: not the keystore of {wanted}", hint=hint)
    if accounts:
        raise CorruptFileError(f"{folder}: {password.name} opens none of the keystores there", hint=hint)
    if broken:
        raise CorruptFileError(f"{broken[0]}: not a keystore (Web3 Secret Storage v3)", hint=hint)
    raise CorruptFileError(f"{folder}: the account's keystore is missing", hint=hint)


def _files(folder: Path) -> list[Path]:
    """Those that the client looks at: no hidden ones, no copies of editors, no links (geth: file_cache.go)."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and not path.name.endswith("~") and not path.is_symlink() and path.is_file()
    )


def _own(keystores: dict[str, dict[str, Any]], password: Path) -> str | None:
    if len(keystores) == 1:
        return next(iter(keystores))
    secret = password.read_text(encoding="utf-8").strip()
    return next((address for address, keystore in keystores.items() if opens(keystore, secret)), None)
