"""Validators that are voted in and out while the network runs, on real clients. Those of GoQuorum need a binary in
QUORUMKIT_GOQUORUM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from networks import RunningNetwork, brought_up, eventually, quorumkit

from quorumkit.engines import Binary
from support.clique import CLIQUE
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = pytest.mark.network


def arguments(consensus: str) -> list[str]:
    if consensus == "geth":
        return ["--engine", "geth", *CLIQUE]
    return ["--engine", "goquorum", "--consensus", consensus, "--engine-binary", str(GOQUORUM)]


def author(network: RunningNetwork, consensus: str, block: int) -> str:
    """Who made it."""
    if consensus in ("qbft", "ibft"):
        return str(network.ask(1, "istanbul_getSignersFromBlock", hex(block))["Author"]).lower()
    return str(network.ask(1, "clique_getSnapshot", hex(block))["recents"][str(block)]).lower()


def makes_a_block(network: RunningNetwork, consensus: str, address: str, after: int) -> bool:
    return any(author(network, consensus, block) == address for block in range(after + 1, network.height() + 1))


def role(network: RunningNetwork, name: str) -> Any:
    return network.status()[name]["role"]


@pytest.mark.parametrize(
    "consensus",
    ["geth", *(pytest.param(kind, marks=needs_goquorum) for kind in ("clique", "qbft", "ibft"))],
)
def test_an_observer_that_is_voted_in_makes_blocks_until_it_is_voted_out(
    tmp_path: Path, geth: Binary, consensus: str
) -> None:
    namespace = "istanbul" if consensus in ("qbft", "ibft") else "clique"
    with brought_up(tmp_path / "bank", "-n", "3", "--observers", "1", *arguments(consensus)) as network:
        address = network.status()["node4"]["validator_address"].lower()
        assert role(network, "node4") == "observer"
        for voter in (1, 2, 3):
            network.ask(voter, f"{namespace}_propose", address, True)
        eventually(lambda: role(network, "node4") == "validator", "the chain has made it a validator")
        began = network.height()
        eventually(lambda: makes_a_block(network, consensus, address, began), "it makes a block")

        network.on_node("node restart", "node4")
        eventually(lambda: network.status()["node4"]["state"] == "running", "it is back")
        began = network.height()
        eventually(lambda: makes_a_block(network, consensus, address, began), "it makes a block after a restart")
        assert role(network, "node4") == "validator"

        for voter in (1, 2, 3):
            network.ask(voter, f"{namespace}_propose", address, False)
        eventually(lambda: role(network, "node4") == "observer", "the chain has made it an observer")
        eventually(lambda: network.ask(4, "eth_mining") is False, "it stops sealing")
        before = network.height(4)
        eventually(lambda: network.height(4) > before + 2, "it goes on following")


def orders_differ(path: Path) -> bool:
    """Whether the validators' addresses stand in another order by their bytes than by their text with its capitals."""
    nodes = quorumkit("init", path, "-n", "3", *arguments("qbft")[:4], "--json").json["nodes"]
    addresses = [node["validator_address"] for node in nodes]
    return sorted(addresses) != sorted(addresses, key=str.lower)


@needs_goquorum
def test_a_qbft_validator_that_was_started_again_is_heard_when_it_proposes(tmp_path: Path) -> None:
    """It reads the validators from its disk then, and GoQuorum sorts those that it reads in another way."""
    path = next(each for each in (tmp_path / f"bank{number}" for number in range(50)) if orders_differ(each))
    with brought_up(path, "--engine-binary", str(GOQUORUM)) as network:
        address = network.status()["node3"]["validator_address"].lower()
        network.on_node("node restart", "node3")
        eventually(lambda: network.status()["node3"]["state"] == "running", "it is back")
        began = network.height()
        eventually(lambda: network.height() >= began + 9, "three rounds of turns")
        turns = [author(network, "qbft", block) for block in range(began + 1, began + 10)]
        assert turns.count(address) >= 2, turns
