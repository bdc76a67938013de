"""Real GoQuorum nodes, each beside its transaction manager. Needs a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from networks import PATIENCE, RunningNetwork, destroy, eventually, quorumkit

BINARY = os.environ.get("QUORUMKIT_GOQUORUM")
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(BINARY is None, reason="QUORUMKIT_GOQUORUM names no GoQuorum binary"),
]


@contextlib.contextmanager
def goquorum(path: Path, consensus: str, nodes: int = 4) -> Iterator[RunningNetwork]:
    network = RunningNetwork(path)
    try:
        started = quorumkit(
            *("up", path, "-n", str(nodes), "--engine", "goquorum", "--consensus", consensus),
            *("--engine-binary", str(BINARY), "--timeout", str(int(PATIENCE))),
        )
        assert started.code == 0, started.err + network.last_words()
        yield network
    finally:
        destroy(path)


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


def test_qbft_goes_on_without_f_validators_and_stops_without_one_more(tmp_path: Path) -> None:
    with goquorum(tmp_path / "bank", "qbft") as network:
        network.on_node("node stop", "node4")
        before = network.height()
        eventually(lambda: network.height() > before + 3, "blocks without one of four")
        network.on_node("node stop", "node3")
        stopped = eventually(lambda: network.status()["node1"]["state"] == "stalled" and network.height(), "halt")
        assert network.height() == stopped
        network.on_node("node start", "node3")
        network.on_node("node start", "node4")
        eventually(lambda: network.height() > stopped + 2, "blocks again", timeout=2 * PATIENCE)
        eventually(network.complete, "all nodes in step again", timeout=2 * PATIENCE)
        assert network.verify()["private"]["ok"] is True


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
        party = json.loads((network.node(3) / "node.json").read_text())["tm"]["public_key"]
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
