"""Several networks on one machine, and networks of unusual sizes and places."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from networks import PATIENCE, RunningNetwork, begin, left_of, quorumkit

from support.clique import CLIQUE

pytestmark = pytest.mark.network

NewNetwork = Callable[[str], RunningNetwork]


def ports_of(nodes: list[dict[str, str]]) -> list[int | None]:
    return [urlsplit(node[field]).port for node in nodes for field in ("rpc_url", "enode")]


def test_networks_started_at_the_same_moment_do_not_collide(new_network: NewNetwork) -> None:
    networks = [new_network(name) for name in ("first", "second", "third")]
    starting = [begin("up", *CLIQUE, "-n", "2", "--verify", "--json", network.path) for network in networks]
    answers = []
    for process in starting:
        out, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, out + error
        answers.append(json.loads(out))
    assert [answer["network"] for answer in answers] == ["first", "second", "third"]
    ports = [port for answer in answers for port in ports_of(answer["nodes"])]
    assert len(set(ports)) == 12
    assert all(answer["verify"]["ok"] for answer in answers)
    # One ends; the others do not notice.
    networks[0].down()
    assert left_of(networks[0].path) == []
    assert quorumkit("destroy", networks[1].path, "--yes", "--json").json == {"network": "second", "destroyed": True}
    assert not networks[1].path.exists()
    assert left_of(networks[1].path) == []
    networks[2].verify()


def test_one_validator_alone_is_a_network(new_network: NewNetwork) -> None:
    network = new_network("alone")
    network.up(*CLIQUE, "-n", "1", "--verify")
    assert network.status()["node1"]["expected_peers"] == 0
    network.down()


def test_a_network_lives_in_a_place_with_an_awkward_name(new_network: NewNetwork) -> None:
    network = new_network('my networks/Bänk №1 – it\'s "new"; $HOME')
    answer = network.run("up", *CLIQUE, "-n", "2", "--observers", "1", "--chain-id", "4711", "--verify", "--json").json
    assert answer["verify"]["reads"] == {"node1": 42, "node2": 42, "node3": 42}
    assert network.ask(1, "eth_chainId") == hex(4711)
    assert network.on_node("console node3", "--exec", "storage.last().get()").out.split() == ["42"]
    assert network.on_node("exec node3", "--", "pwd").out.strip() == str(network.node(3).resolve())
    assert network.on_node("logs node3", "--lines", "1").out
    network.down()
    assert left_of(network.path) == []
