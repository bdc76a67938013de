"""What README.md shows, on the consensus that is the default: no test here names one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from networks import RunningNetwork, eventually, left_of

pytestmark = pytest.mark.network

NAMES = [f"node{number}" for number in range(1, 6)]


def test_five_nodes_are_started_verified_asked_stopped_and_go_on(new_network: Callable[[str], RunningNetwork]) -> None:
    network = new_network("mynet")
    answer = network.run("up", "-n", "5", "--verify", "--json").json
    assert answer["verify"]["ok"] is True
    assert answer["verify"]["reads"] == dict.fromkeys(NAMES, 42)
    told = network.status()
    assert [(node["role"], node["state"], node["peers"]) for node in told.values()] == [("validator", "running", 4)] * 5
    assert network.on_node("logs node2", "--lines", "1").out
    assert network.on_node("console node4", "--exec", "storage.last().get()").out.split() == ["42"]

    known = network.verify()
    assert network.down() is True
    assert left_of(network.path) == []
    network.up()
    eventually(lambda: network.height() > known["block"], "a block after those that there were")
    assert {network.block_hash(number, known["block"]) for number in range(1, 6)} == {known["block_hash"]}
    assert network.verify()["reads"] == dict.fromkeys(NAMES, 42)


def test_an_observer_follows(new_network: Callable[[str], RunningNetwork]) -> None:
    network = new_network("mynet")
    network.up("-n", "4", "--observers", "1", "--verify")
    told = network.status()
    assert [node["role"] for node in told.values()] == ["validator"] * 4 + ["observer"]
    assert told["node5"]["peers"] == 4
    assert network.verify()["reads"]["node5"] == 42
