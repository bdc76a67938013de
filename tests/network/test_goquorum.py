"""Real GoQuorum nodes, each beside its transaction manager. Needs a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from networks import PATIENCE, RunningNetwork, begin, brought_up, eventually, quorumkit

from quorumkit.contracts import storage_contract
from quorumkit.record import read_record
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = [
    pytest.mark.network,
    needs_goquorum,
]


def goquorum(
    path: Path, consensus: str, nodes: int = 4, observers: int = 0
) -> contextlib.AbstractContextManager[RunningNetwork]:
    return brought_up(
        path,
        *("-n", str(nodes), "--observers", str(observers), "--engine", "goquorum", "--consensus", consensus),
        *("--engine-binary", str(GOQUORUM)),
    )


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "raft", "clique"])
def test_a_private_contract_is_read_by_its_parties_alone(tmp_path: Path, consensus: str) -> None:
    with goquorum(tmp_path / "bank", consensus) as network:
        answer = network.verify()
        assert set(answer["reads"].values()) == {42}
        private = answer["private"]
        assert private["ok"] is True
        assert private["parties"] == ["node1", "node2"]
        assert private["reads"] == {"node1": 42, "node2": 42, "node3": None, "node4": None}
        assert private["payloads"] == {"node1": True, "node2": True, "node3": False, "node4": False}
        # The client's own would be 700M at least.
        height = network.height()
        limits = {network.ask(2, "eth_getBlockByNumber", hex(n), False)["gasLimit"] for n in range(height + 1)}
        assert height >= 2
        assert limits == {hex(30_000_000)}


def test_two_clique_validators_go_on_beyond_the_first_block(tmp_path: Path) -> None:
    """Each may seal the first block before it hears of the other's: then they must not wait for each other."""
    for attempt in range(4):
        with goquorum(tmp_path / f"bank{attempt}", "clique", 2) as network:
            eventually(lambda: network.height() > 3, "blocks after the first")
            assert network.block_hash(1, 3) == eventually(lambda: network.block_hash(2, 3), "block 3 on node2")


@pytest.mark.parametrize("consensus", ["qbft", "ibft"])
def test_bft_goes_on_without_f_validators_stops_without_one_more_and_never_forks(
    tmp_path: Path, consensus: str
) -> None:
    with goquorum(tmp_path / "bank", consensus) as network:
        network.on_node("node stop", "node4")
        before = network.height()
        eventually(lambda: network.height() > before + 3, "blocks without one of four")
        network.on_node("node stop", "node3")
        stopped = eventually(lambda: network.status()["node1"]["state"] == "stalled" and network.height(), "halt")
        assert network.height(1) == network.height(2) == stopped
        network.on_node("node start", "node3")
        network.on_node("node start", "node4")
        eventually(lambda: network.height() > stopped + 2, "blocks again", timeout=2 * PATIENCE)
        eventually(network.complete, "all nodes in step again", timeout=2 * PATIENCE)
        assert network.verify()["private"]["ok"] is True
        in_step(network, 4)


def in_step(network: RunningNetwork, nodes: int) -> None:
    """Every block that all nodes have is the same block on all."""
    height = min(network.height(number) for number in range(1, nodes + 1))
    for block in range(1, height + 1):
        hashes = {network.block_hash(number, block) for number in range(1, nodes + 1)}
        assert len(hashes) == 1, f"block {block}: {hashes}"


def grow(network: RunningNetwork, observers: int) -> dict[str, Any]:
    """Raises the observers of a network that runs; what `up --verify` found."""
    spec = network.path / "quorumkit.yaml"
    spec.write_text(re.sub(r"observers: \d+", f"observers: {observers}", spec.read_text()))
    found: dict[str, Any] = network.run("up", "--verify", "--json").json["verify"]
    assert found["ok"] is True, found
    return found


def private_to(network: RunningNetwork, sender: int, party: int) -> tuple[str, str]:
    """A private contract that holds 42: its address and block."""
    account = network.ask(sender, "eth_accounts")[0]
    keys = [read_record(network.node(n)).identity.tm_key for n in (sender, party)]
    transaction = {
        "from": account, "gas": hex(300_000), "data": storage_contract().deploy_data(42), "privateFrom": keys[0],
        "privateFor": [keys[1]],
    }  # fmt: skip
    sent = network.ask(sender, "eth_sendTransaction", transaction)
    receipt = eventually(lambda: network.ask(sender, "eth_getTransactionReceipt", sent), "the receipt")
    return receipt["contractAddress"], receipt["blockNumber"]


def read(network: RunningNetwork, number: int, contract: str, block: str) -> int | None:
    eventually(lambda: network.height(number) >= int(block, 16), f"the block on node{number}")
    call = {"to": contract, "data": storage_contract().get_data()}
    value = network.ask(number, "eth_call", call, "latest")
    return None if value == "0x" else int(value, 16)


def test_a_raft_network_that_runs_takes_in_another_node(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "raft", 3) as network:
        network.verify()
        clients = {name: process.pid for name, process in network.clients().items()}
        static = (network.node(1) / "data/static-nodes.json").read_bytes()
        assert set(grow(network, 1)["reads"]) == {"node1", "node2", "node3", "node4"}
        assert network.ask(4, "raft_role") == "learner"
        after = {name: process.pid for name, process in network.clients().items()}
        assert {name: pid for name, pid in after.items() if name in clients} == clients  # nobody was restarted
        assert len(json.loads((network.node(1) / "data/permissioned-nodes.json").read_text())) == 4
        contract, block = private_to(network, 1, 4)
        assert [read(network, number, contract, block) for number in range(1, 5)] == [42, None, None, 42]
        contract, block = private_to(network, 4, 2)
        assert [read(network, number, contract, block) for number in range(1, 5)] == [None, 42, None, 42]

        assert network.on_node("console node1", "--exec", "raft.promoteToPeer(4)").out.strip() == "true"
        assert "not a learner" in network.on_node("console node1", "--exec", "raft.promoteToPeer(1)", code=1).out
        eventually(lambda: network.ask(4, "raft_role") == "verifier", "node4 has a vote")
        network.up()  # twice does no harm
        network.down()
        assert (network.node(1) / "data/static-nodes.json").read_bytes() == static
        network.up()
        assert {member["raftId"] for member in network.ask(1, "raft_cluster")} == {1, 2, 3, 4}
        assert network.verify()["private"]["ok"] is True

        leader = eventually(lambda: next((n for n in range(1, 5) if network.ask(n, "raft_role") == "minter"), 0), "one")
        os.kill(network.status()[f"node{leader}"]["pid"], signal.SIGKILL)
        others = [number for number in range(1, 5) if number != leader]
        eventually(lambda: any(network.ask(n, "raft_role") == "minter" for n in others), "a new minter")
        eventually(network.complete, "the killed one is back")
        assert network.verify()["private"]["ok"] is True
        in_step(network, 4)


def test_raft_observers_are_there_from_the_first_start(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "raft", 3, observers=2) as network:
        assert [network.ask(number, "raft_role") for number in (4, 5)] == ["learner", "learner"]
        assert {(node / "admission").read_text() for node in map(network.node, (4, 5))} == {"4\n", "5\n"}
        assert len(network.verify()["reads"]) == 5


def test_a_newcomer_waits_for_a_majority_that_can_take_it_in(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "raft", 3) as network:
        frozen = [network.clients()[name] for name in ("node2", "node3")]
        for client in frozen:
            client.suspend()
        spec = network.path / "quorumkit.yaml"
        spec.write_text(spec.read_text().replace("observers: 0", "observers: 1"))
        waiting = begin("up", "--timeout", str(int(PATIENCE)), network.path)
        eventually(lambda: network.status().get("node4", {}).get("state") == "admitting", "it waits")
        waiting.send_signal(signal.SIGKILL)  # and the command is killed meanwhile
        waiting.communicate()
        assert not (network.node(4) / "admission").exists()
        for client in frozen:
            client.resume()
        network.up()
        assert (network.node(4) / "admission").read_text() == "4\n"
        assert network.verify()["private"]["ok"] is True


@pytest.mark.parametrize("consensus", ["qbft", "clique"])
def test_a_network_that_runs_gets_an_observer_and_its_transaction_manager(tmp_path: Path, consensus: str) -> None:
    with goquorum(tmp_path / "bank", consensus) as network:
        clients = {name: process.pid for name, process in network.clients().items()}
        assert len(grow(network, 1)["reads"]) == 5
        after = {name: process.pid for name, process in network.clients().items()}
        assert {name: pid for name, pid in after.items() if name in clients} == clients
        contract, block = private_to(network, 1, 5)
        assert [read(network, number, contract, block) for number in range(1, 6)] == [42, None, None, None, 42]
        contract, block = private_to(network, 5, 3)
        assert [read(network, number, contract, block) for number in range(1, 6)] == [None, None, 42, None, 42]
        in_step(network, 5)


def test_raft_goes_on_when_its_leader_is_killed(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "raft", 3) as network:
        minters = eventually(lambda: [n for n in (1, 2, 3) if network.ask(n, "raft_role") == "minter"], "a minter")
        leader = minters[0]
        pid = network.status()[f"node{leader}"]["pid"]
        os.kill(pid, signal.SIGKILL)
        other = next(n for n in range(1, 4) if n != leader)

        def another_minter() -> bool:
            roles = [network.ask(n, "raft_role") for n in range(1, 4) if n != leader]
            return "minter" in roles

        eventually(another_minter, f"a new minter, seen by node{other}")
        eventually(lambda: network.status()[f"node{leader}"]["peers"] == 2, "the killed one is back")
        assert network.verify()["ok"] is True


def test_a_killed_transaction_manager_is_started_again(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "qbft") as network:
        managers = [p for p in psutil.process_iter() if _is_manager_of(p, network.node(2))]
        assert len(managers) == 1
        managers[0].kill()
        eventually(
            lambda: [p.pid for p in psutil.process_iter() if _is_manager_of(p, network.node(2))] not in
            ([], [managers[0].pid]), "another one",
        )  # fmt: skip
        assert network.verify()["private"]["ok"] is True


def test_an_absent_party_makes_the_senders_call_fail_and_nothing_reaches_the_chain(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "qbft") as network:
        party = str(read_record(network.node(3)).identity.tm_key)
        network.on_node("node stop", "node3")
        account = network.ask(1, "eth_accounts")[0]
        before = int(network.ask(1, "eth_getTransactionCount", account, "pending"), 16)
        transaction = {"from": account, "gas": "0x30000", "data": "0x6000", "privateFor": [party]}
        with pytest.raises(Exception, match=party[:20].replace("+", r"\+")):
            network.ask(1, "eth_sendTransaction", transaction)
        assert int(network.ask(1, "eth_getTransactionCount", account, "pending"), 16) == before


def test_down_and_up_keeps_the_chain_and_the_payloads(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "qbft") as network:
        network.verify()
        before = network.height()
        network.down()
        assert not [p for p in psutil.process_iter() if _is_manager_of(p, network.node(1))]
        assert quorumkit("up", network.path).code == 0
        assert network.height() >= before
        assert network.verify()["private"]["ok"] is True


def _is_manager_of(process: psutil.Process, directory: Path) -> bool:
    with contextlib.suppress(psutil.Error, OSError):
        return "quorumkit.tm" in process.cmdline() and Path(process.cwd()) == directory
    return False
