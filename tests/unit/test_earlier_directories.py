"""Every file of network directories that an earlier commit made is read, and none is written anew in another sense."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from quorumkit.directory import NetworkDirectory
from quorumkit.exchange.membership import Membership
from quorumkit.exchange.store import ExchangeStore
from quorumkit.identities.generated import generate
from quorumkit.identity import check_identity, load_identity
from quorumkit.plan import NodeEndpoints
from quorumkit.progress import silent
from quorumkit.record import read_record
from quorumkit.render import render_genesis
from quorumkit.spec import NetworkSpec
from quorumkit.tm.config import read_config
from quorumkit.tm.keys import format_public_key
from quorumkit.tm.store import Store
from support.earlier import FACTS, unpack


@pytest.fixture(params=list(FACTS))
def network(request: pytest.FixtureRequest, tmp_path: Path) -> NetworkDirectory:
    return NetworkDirectory(unpack(request.param, tmp_path, chain=False))


def where_they_were(spec: NetworkSpec, present: list[NodeEndpoints | None]) -> list[NodeEndpoints]:
    """An addressing for nodes that all have a record."""
    return [endpoints for endpoints in present if endpoints]


def contents(network: NetworkDirectory) -> dict[str, bytes]:
    """Of every file that must stay to the byte: all but the records, whose format may be a newer one."""
    files = [
        file for file in network.path.rglob("*") if file.is_file() and file.name not in ("node.json", "directory.lock")
    ]
    return {str(file.relative_to(network.path)): file.read_bytes() for file in files}


def test_it_is_the_network_that_it_was(network: NetworkDirectory) -> None:
    facts = FACTS[network.path.name]["nodes"]
    loaded = network.load()
    assert {node.name for node in loaded.nodes} == facts.keys()
    for node in loaded.nodes:
        assert facts[node.name] == facts[node.name] | {
            "role": node.role,
            "account": node.identity.account,
            "tm_key": node.identity.tm_key,
            "enode": str(node.enode),
            "rpc_url": str(node.endpoints.rpc_url),
        }
    files = [network.genesis, *network.nodes.glob("node*/genesis.json")]
    present = [file.read_bytes() for file in files if file.exists()]
    assert present
    assert {render_genesis(loaded)} == set(present)


def test_every_record_and_key_is_read(network: NetworkDirectory) -> None:
    nodes = sorted(network.nodes.iterdir())
    assert len(nodes) == len(FACTS[network.path.name]["nodes"])
    for node in nodes:
        assert json.loads((node / "node.json").read_bytes())["format"] == 1
        record = read_record(node)
        assert record.name == node.name
        identity = load_identity(node)
        assert identity.account == FACTS[network.path.name]["nodes"][node.name]["account"]
        check_identity(node, identity)


def test_it_is_made_again_in_place_with_the_same_keys_and_genesis(network: NetworkDirectory) -> None:
    spec = network.read_spec()
    if spec.identities == "exchanged":
        pytest.skip("its nodes make their files themselves")
    before = network.load()
    present = contents(network)
    again = generate(network, spec, where_they_were, silent)
    assert (again.genesis, again.nodes) == (before.genesis, before.nodes)
    assert contents(network).items() >= present.items()
    assert network.load().nodes == before.nodes


@pytest.mark.parametrize("name", [name for name in FACTS if name == "exchanged"])
def test_what_the_exchange_kept_is_read(name: str, tmp_path: Path) -> None:
    network = NetworkDirectory(unpack(name, tmp_path, chain=False))
    facts = FACTS[name]["nodes"]
    for node in sorted(network.nodes.iterdir()):
        store = ExchangeStore(node)
        lock = store.read_lock()
        assert lock is not None
        assert {f"node{each.document.ordinal}": each.document.account for each in lock.documents} == {
            name: fact["account"] for name, fact in facts.items()
        }
        commitment = store.read_commitment()
        assert commitment is not None
        assert commitment.genesis == lock.genesis
        assert (node / "data/genesis.sha256").read_text(encoding="ascii").strip() == lock.genesis
        assert store.read_members(Membership(lock), latest=1 << 62) == []
        assert store.read_addresses() == dict.fromkeys(range(1, len(facts) + 1), "127.0.0.1")


@pytest.mark.parametrize("name", [name for name in FACTS if FACTS[name]["nodes"]["node1"]["tm_key"]])
def test_transaction_managers_have_their_keys_and_payloads(name: str, tmp_path: Path) -> None:
    network = NetworkDirectory(unpack(name, tmp_path, chain=False))
    payloads = {}
    for node in sorted(network.nodes.iterdir()):
        config = read_config(node / "tm/tm.conf")
        own = FACTS[name]["nodes"][node.name]["tm_key"]
        assert [format_public_key(pair.public) for pair in config.load_keys()] == [own]
        others = {base64.b64encode(key).decode() for key in config.other_keys}
        assert others == {fact["tm_key"] for fact in FACTS[name]["nodes"].values()} - {own}
        store = Store(node / "tm/payloads.sqlite")
        payloads[node.name] = len(list(store.all()))
        asyncio.run(store.close())
    # `verify` created a private contract of node1 and node2.
    assert payloads == {"node1": 1, "node2": 1, "node3": 0}
