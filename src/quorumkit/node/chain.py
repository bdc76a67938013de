"""A node's chain: made from the network's genesis, made again where it is gone, and checked to be that one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from quorumkit.engines import Recipe
from quorumkit.errors import CorruptFileError, GenesisMismatchError
from quorumkit.foreign import one_line
from quorumkit.genesis_block import genesis_block_hash
from quorumkit.record import NodeRecord
from quorumkit.rpc import Rpc
from quorumkit.rpc.base import expecting

GENESIS_MARKER = Path("data/genesis.sha256")
"""The digest of the genesis that the chain beside it was made from."""


@dataclass(frozen=True)
class Genesis:
    """The network's, as a file."""

    path: Path
    digest: str
    block_hash: str | None
    """Of the block that it stands for; None where that cannot be derived."""


def read_genesis(directory: Path) -> Genesis:
    """The node's own copy of the genesis, or the one its network directory holds.

    Raises:
        CorruptFileError: there is none, or it is none.
    """
    own = directory / "genesis.json"
    path = own if own.exists() else directory.parent.parent / "genesis.json"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise CorruptFileError(f"{path}: the genesis is missing", hint="run `quorumkit up`") from None
    try:
        block_hash = genesis_block_hash(json.loads(content))
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
        raise CorruptFileError(
            f"{path}: not a genesis", hint="remove it: the next `quorumkit up` writes it again from the spec"
        ) from None
    return Genesis(path, hashlib.sha256(content).hexdigest(), block_hash)


def is_to_be_made(directory: Path, recipe: Recipe, record: NodeRecord, genesis: Genesis) -> bool:
    """Whether the chain must be made from the genesis: it never was, or it is gone.

    The marker tells what the chain was made from, and not that it is there: a client that finds none begins one of
    its own, on Ethereum's main network.

    Raises:
        CorruptFileError: the chain is damaged, or gone where the node cannot begin anew.
        GenesisMismatchError: it was made from another genesis.
    """
    try:
        made_from = (directory / GENESIS_MARKER).read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        made_from = None
    if made_from not in (None, genesis.digest):
        raise GenesisMismatchError(
            f"{genesis.path}: not the genesis that the chain of {record.name} was made from",
            hint="put the old genesis back, or remove the chain by name: quorumkit destroy",
        )
    if made_from is not None and (damage := recipe.chain_damage(directory)):
        raise CorruptFileError(
            f"{directory}: {damage}",
            hint="put the chain back from a backup; or move it away, and the node takes it from its peers again",
        )
    if recipe.has_chain(directory):
        return made_from is None  # the first time was interrupted, and does no harm twice
    if reason := recipe.why_not_anew(directory, record, had_chain=made_from is not None):
        raise CorruptFileError(
            f"{directory}: the chain is gone, and {reason}",
            hint="put the whole data directory back from one backup, or replace the node: quorumkit node replace",
        )
    return True


async def check_first_block(rpc: Rpc, genesis: Genesis, name: str, chain: Path) -> None:
    """Compares the block 0 that the running client has with the network's; `chain` is where it keeps its chain, below
    the node's directory.

    Raises:
        GenesisMismatchError: it is another one.
        RpcError: the client cannot be asked.
    """
    if genesis.block_hash is None:
        return
    block = await rpc.call("eth_getBlockByNumber", "0x0", False)
    with expecting(name):
        present = str(block["hash"]).lower()
    if present != genesis.block_hash:
        raise GenesisMismatchError(
            f"{name}: its client is on another chain: block 0 is {one_line(present, longest=66)}, and {genesis.path} "
            f"gives {genesis.block_hash}",
            hint=f"move its chain ({chain}) away: the next start makes it from the network's genesis",
        )
