"""Nodes that are added to a network that runs, on real clients."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest
from networks import RunningNetwork, begin, eventually, quorumkit

from support.clique import CLIQUE

pytestmark = pytest.mark.network


def ask_for(network: RunningNetwork, observers: int) -> None:
    spec = network.path / "quorumkit.yaml"
    spec.write_text(re.sub(r"observers: \d+", f"observers: {observers}", spec.read_text()))


def pids(network: RunningNetwork) -> dict[str, int]:
    return {name: client.pid for name, client in network.clients().items()}


def test_observers_join_without_a_restart_of_anybody(new_network: Callable[[str], RunningNetwork]) -> None:
    network = new_network("bank")
    network.up(*CLIQUE, "-n", "3")
    neighbour = new_network("neighbour")  # likely right behind it, so that the new ports lie elsewhere
    neighbour.up(*CLIQUE, "-n", "1")
    before, supervisor = pids(network), network.supervisor.pid
    rpc = {name: node["rpc_url"] for name, node in network.status().items()}
    ask_for(network, 2)
    nodes = network.up("--verify")
    assert [node["role"] for node in nodes] == ["validator"] * 3 + ["observer"] * 2
    assert all(node["peers"] == 4 for node in nodes)
    after = pids(network)
    assert {name: after[name] for name in before} == before
    assert network.supervisor.pid == supervisor
    assert {node["name"]: node["rpc_url"] for node in nodes if node["name"] in rpc} == rpc
    assert len(network.verify()["reads"]) == 5
    for name in ("node4", "node2"):
        network.on_node(f"node restart {name}")
    eventually(network.complete, "all see each other again")
    network.down()
    assert len(network.up()) == 5
    assert len(network.verify()["reads"]) == 5


def test_growth_that_is_interrupted_is_finished_by_the_next_up(new_network: Callable[[str], RunningNetwork]) -> None:
    network = new_network("bank")
    network.up(*CLIQUE, "-n", "3")
    ask_for(network, 1)
    growing = begin("up", network.path)
    eventually((network.node(4) / "node.json").exists, "the new node's files")
    growing.send_signal(signal.SIGKILL)
    growing.communicate()
    assert len(network.up("--verify")) == 4
    assert network.complete()


def test_fewer_nodes_than_run_are_refused(new_network: Callable[[str], RunningNetwork]) -> None:
    network = new_network("bank")
    network.up(*CLIQUE, "-n", "2", "--observers", "1")
    ask_for(network, 0)
    refused = quorumkit("up", network.path)
    assert refused.code == 1
    assert "it runs with 3 nodes, and the spec has 2" in refused.err
    ask_for(network, 1)
    assert network.complete()
