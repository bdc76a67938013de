"""Block 0 of a chain, as clients make it, and what a node makes of what it finds on its disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any, cast

import pytest
from samples import planned, spec_of

from quorumkit.engines import Binary, recipe_of
from quorumkit.errors import CorruptFileError, GenesisMismatchError, NodeError, RpcError
from quorumkit.genesis_block import genesis_block_hash
from quorumkit.node.chain import GENESIS_MARKER, check_first_block, is_to_be_made, read_genesis
from quorumkit.node.log import StandardOutput
from quorumkit.node.preparing import Preparation
from quorumkit.node.trouble import Troubles
from quorumkit.record import NodeRecord
from quorumkit.render import render_genesis
from quorumkit.render.node_files import record_of
from quorumkit.rpc import Rpc

CHAIN = Path("data/geth/chaindata")
FORKS = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul"]


def many_accounts() -> dict[str, Any]:
    alloc: dict[str, Any] = {
        f"{(n * 0x9E3779B97F4A7C15F39CC0605CEDC834) % (1 << 160):040x}": {"balance": hex(n**7 + 1)} for n in range(300)
    }
    words = {0: "00" * 31 + "07", 1: "ff" * 32, 2: "00" * 32}
    alloc["00" * 19 + "aa"] = {
        "balance": "1000",
        "nonce": "0x5",
        "code": "0x6001600101",
        "storage": {f"0x{slot:064x}": "0x" + word for slot, word in words.items()},
    }
    return {
        "config": {
            "chainId": 7,
            **{f"{fork}Block": 0 for fork in [*FORKS, "berlin", "london"]},
            "clique": {"period": 1, "epoch": 30000},
        },
        "timestamp": "0x5",
        "gasLimit": "0x1c9c380",
        "difficulty": "1",
        "extraData": "0x" + "00" * 32 + "11" * 20 + "00" * 65,
        "alloc": alloc,
    }


QBFT = {
    "config": {
        "chainId": 1337,
        **{f"{fork}Block": 0 for fork in FORKS},
        "isQuorum": True,
        "qbft": {"epochlength": 30000, "blockperiodseconds": 1, "policy": 0, "ceil2Nby3Block": 0},
    },
    "nonce": "0x0",
    "timestamp": "0x0",
    "gasLimit": "0x1c9c380",
    "coinbase": "0x" + "00" * 20,
    "difficulty": "0x1",
    "mixHash": "0x63746963616c2062797a616e74696e65206661756c7420746f6c6572616e6365",
    "extraData": "0xf84fa0" + "00" * 32 + "ea94521db398a9230286709075bca28e3bd2503dcbb8"
    "947c15ee10a3d93a2af59c1d087b1326cf9acf530cc080c0",
    "alloc": {
        "6e89e49a5f2459b4ce6c2145a5bcb7c4c49a12d6": {"balance": "0x3635c9adc5dea00000"},
        "ffe7bf226246c4b9dbb3d9a491af7bc46307d144": {"balance": "0x3635c9adc5dea00000"},
    },
}


@pytest.mark.parametrize(
    ("genesis", "told_by_client"),
    [
        # geth 1.13.15: `geth init`, then eth.getBlock(0).hash
        (many_accounts(), "0x20bf247cd79ca05c04cc2036363443c77e7f09727f12a3ee56302e15947837b2"),
        # GoQuorum 24.4.1
        (QBFT, "0xdb8afd3441d5eabe905f6aabee1e1bfab18677660d5a3254bbc16448d7e7629d"),
    ],
)
def test_block_0_is_the_one_that_the_client_makes(genesis: dict[str, Any], told_by_client: str) -> None:
    assert genesis_block_hash(genesis) == told_by_client


@pytest.mark.parametrize("field", ["gasLimit", "timestamp", "difficulty", "extraData", "alloc", "baseFeePerGas"])
def test_every_field_of_it_counts(field: str) -> None:
    changed: dict[str, Any] = many_accounts()
    changed[field] = {} if field == "alloc" else "0x77"
    assert genesis_block_hash(changed) != genesis_block_hash(many_accounts())


def test_of_a_header_that_is_not_known_nothing_is_said() -> None:
    genesis = many_accounts()
    genesis["config"]["shanghaiTime"] = 0
    assert genesis_block_hash(genesis) is None


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "genesis.json").write_bytes(render_genesis(planned(spec_of(1))))
    return tmp_path


def record(consensus: str = "clique") -> NodeRecord:
    network = planned(spec_of(1))
    made = record_of(network, network.node(1))
    return made.model_copy(update={"consensus": made.consensus.model_copy(update={"kind": consensus})})


def chain(node: Path, *files: str) -> None:
    folder = node / "data/geth/chaindata"
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_text("x")


def mark(node: Path, digest: str | None = None) -> None:
    digest = digest or hashlib.sha256((node / "genesis.json").read_bytes()).hexdigest()
    (node / GENESIS_MARKER).write_text(digest + "\n")


def to_be_made(node: Path, engine: str = "geth", consensus: str = "clique") -> bool:
    return is_to_be_made(node, recipe_of(engine, consensus), record(consensus), read_genesis(node))


def test_a_chain_that_is_there_is_left_alone(node: Path) -> None:
    chain(node, "CURRENT", "MANIFEST-000001")
    mark(node)
    assert not to_be_made(node)


@pytest.mark.parametrize("left", ["nothing", "an empty folder"])
def test_a_chain_that_is_gone_is_made_again_whatever_the_marker_says(node: Path, left: str) -> None:
    if left == "an empty folder":
        chain(node)
    mark(node)
    assert to_be_made(node)
    assert to_be_made(node, "goquorum", "qbft")


def test_a_chain_that_was_never_finished_is_made(node: Path) -> None:
    assert to_be_made(node)
    chain(node, "LOCK")
    assert to_be_made(node)
    chain(node, "CURRENT")
    assert to_be_made(node)


def test_a_chain_of_another_genesis_is_refused(node: Path) -> None:
    chain(node, "CURRENT")
    mark(node, "ab" * 32)
    with pytest.raises(GenesisMismatchError, match="not the genesis that the chain of node1 was made from"):
        to_be_made(node)


def test_a_chain_whose_files_are_damaged_is_not_written_over(node: Path) -> None:
    chain(node, "000004.sst", "MANIFEST-000001")
    mark(node)
    with pytest.raises(CorruptFileError, match="CURRENT is missing"):
        to_be_made(node)


@pytest.mark.parametrize("left", ["the marker", "raft's log", "both"])
def test_a_member_of_a_raft_does_not_begin_anew(node: Path, left: str) -> None:
    assert to_be_made(node, "goquorum", "raft")
    if left != "raft's log":
        mark(node)
    if left != "the marker":
        (node / "data/raft-wal").mkdir()
    with pytest.raises(CorruptFileError, match="the chain is gone, and a member of a raft"):
        to_be_made(node, "goquorum", "raft")


@pytest.mark.parametrize("content", ["", "{", "[]", "5", '{"alloc": 7}', '{"alloc": {"aa": {}}}'])
def test_a_genesis_that_is_none_is_told(node: Path, content: str) -> None:
    (node / "genesis.json").write_text(content)
    with pytest.raises(CorruptFileError, match=r"genesis\.json: not a genesis"):
        read_genesis(node)


class Client:
    def __init__(self, block: Any) -> None:
        self._block = block

    async def call(self, method: str, *params: Any) -> Any:
        assert (method, params) == ("eth_getBlockByNumber", ("0x0", False))
        return self._block


def test_a_client_on_the_networks_chain_is_let_alone(node: Path) -> None:
    genesis = read_genesis(node)
    asyncio.run(check_first_block(cast(Rpc, Client({"hash": genesis.block_hash})), genesis, "node1", CHAIN))


def test_a_client_on_another_chain_is_refused(node: Path) -> None:
    mainnet = "0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"
    with pytest.raises(GenesisMismatchError, match=f"another chain: block 0 is {mainnet}"):
        asyncio.run(check_first_block(cast(Rpc, Client({"hash": mainnet})), read_genesis(node), "node1", CHAIN))


@pytest.mark.parametrize("block", [None, 7, {}, [], "0x"])
def test_a_client_that_answers_nonsense_is_no_client_on_the_chain(node: Path, block: Any) -> None:
    with pytest.raises(RpcError, match="node1: an answer of another shape"):
        asyncio.run(check_first_block(cast(Rpc, Client(block)), read_genesis(node), "node1", CHAIN))


CLIENT = """#!/bin/sh
echo "$@" >> calls
case "$*" in *init*) mkdir -p data/geth/chaindata; touch data/geth/chaindata/CURRENT; test ! -e full;; esac
"""


class Prepared(Preparation):
    """Prepares its directory with a client that only notes how it is called."""

    def find_binary(self, override: Path | None) -> Binary:
        assert override is not None
        return Binary(override, "1", "")

    def check_identity(self) -> None:
        pass


def calls(node: Path) -> int:
    """How often the client was called to make a chain, after the node was made ready once more."""
    (node / "client").write_text(CLIENT)
    (node / "client").chmod(0o755)
    preparation = Prepared(node, record(), log := StandardOutput(), Troubles(log, lambda _: None))
    asyncio.run(preparation.run(admission=None, override=node / "client", tm_override=None))
    return len((node / "calls").read_text().splitlines())


def test_a_chain_is_made_once_and_again_when_it_is_gone_and_never_from_another_genesis(node: Path) -> None:
    assert [calls(node), calls(node)] == [1, 1]
    (node / "data/geth/chaindata/CURRENT").unlink()
    assert [calls(node), calls(node)] == [2, 2]
    genesis = json.loads((node / "genesis.json").read_bytes())
    (node / "genesis.json").write_text(json.dumps(genesis | {"timestamp": "0x7"}))
    with pytest.raises(GenesisMismatchError):
        calls(node)
    assert len((node / "calls").read_text().splitlines()) == 2


def test_a_chain_whose_second_making_was_interrupted_is_made_once_more(node: Path) -> None:
    """The first one's marker must not vouch for it."""
    assert calls(node) == 1
    (node / "data/geth/chaindata/CURRENT").unlink()
    (node / "full").touch()
    with pytest.raises(NodeError, match=r"refused genesis\.json: exit code 1"):
        calls(node)
    (node / "full").unlink()
    assert [calls(node), calls(node)] == [3, 3]
