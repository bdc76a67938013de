"""The `storage` contract by which a network is verified, compiled from Storage.sol by compile.mjs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_WORD = 32  # bytes; the ABI's unit


@dataclass(frozen=True)
class StorageContract:
    """What is needed to deploy the contract and call it; `data` values are 0x-hex, as JSON-RPC takes them."""

    bytecode: str
    set_selector: str
    get_selector: str

    def deploy_data(self, initial: int) -> str:
        """Creation code with the constructor's argument (contract ABI specification, "Argument Encoding")."""
        return self.bytecode + _word(initial)

    def set_data(self, value: int) -> str:
        """The call `set(value)`."""
        return self.set_selector + _word(value)

    def get_data(self) -> str:
        """The call `get()`."""
        return self.get_selector


def _word(value: int) -> str:
    return value.to_bytes(_WORD, "big").hex()


@cache
def storage_contract() -> StorageContract:
    """The compiled contract that is shipped with the package."""
    artifact = json.loads(files(__name__).joinpath("Storage.json").read_bytes())
    selectors = artifact["selectors"]
    return StorageContract(artifact["bytecode"], selectors["set(uint256)"], selectors["get()"])


def console_script() -> str:
    """JavaScript for a client's console that defines `storage` (ABI, code, deploy, at)."""
    return (
        files(__name__)
        .joinpath("storage.js")
        .read_text(encoding="utf-8")
        .replace("/*ARTIFACT*/", files(__name__).joinpath("Storage.json").read_text(encoding="utf-8").strip())
    )
