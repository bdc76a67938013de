"""A network some of whose records are gone, as those see it who only look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from samples import endpoints_number, identity_number, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import CorruptFileError
from quorumkit.files import to_json
from quorumkit.plan import Network, plan
from quorumkit.render.node_files import record_of
from quorumkit.spec import spec_to_yaml

TOTAL = 3


@pytest.fixture
def network() -> Network:
    spec = spec_of(TOTAL, engine={"kind": "goquorum"}, consensus={"kind": "raft"})
    numbers = range(1, TOTAL + 1)
    endpoints = [replace(endpoints_number(number), ports={"raft": 27000 + number}) for number in numbers]
    return plan(spec, [identity_number(number) for number in numbers], endpoints)


@pytest.fixture
def directory(network: Network, tmp_path: Path) -> NetworkDirectory:
    directory = NetworkDirectory(tmp_path)
    directory.spec.write_bytes(spec_to_yaml(network.spec))
    for node in network.nodes:
        directory.node(node.name).mkdir(parents=True)
        (directory.node(node.name) / "node.json").write_bytes(to_json(record_of(network, node).model_dump()))
    return directory


def test_all_that_is_there_is_the_network(network: Network, directory: NetworkDirectory) -> None:
    assert directory.load_what_is_there() == directory.load() == network


@pytest.mark.parametrize("damage", [None, b"{", b"[]", b'{"format": 99}', "another's"])
@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_node_is_what_its_peers_know_of_it(
    lost: int, damage: bytes | str | None, network: Network, directory: NetworkDirectory
) -> None:
    record = directory.node(f"node{lost}") / "node.json"
    other = directory.node(f"node{lost % TOTAL + 1}") / "node.json"
    record.unlink()
    if damage is not None:
        record.write_bytes(damage if isinstance(damage, bytes) else other.read_bytes())
    found = directory.load_what_is_there()
    assert [node.enode for node in found.nodes] == [node.enode for node in network.nodes]
    assert [node.role for node in found.nodes] == ["validator"] * TOTAL
    assert [node.endpoints.rpc_url for node in found.nodes] == [node.endpoints.rpc_url for node in network.nodes]
    whole = [node for node in found.nodes if node.ordinal != lost]
    assert whole == [node for node in network.nodes if node.ordinal != lost]


def test_without_any_record_nothing_is_known(directory: NetworkDirectory) -> None:
    for record in directory.nodes.glob("*/node.json"):
        record.unlink()
    with pytest.raises(CorruptFileError, match="there is no such file"):
        directory.load_what_is_there()
