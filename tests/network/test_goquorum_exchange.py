"""Real GoQuorum nodes that share nothing: each makes its keys, its transaction manager's too, and all agree over HTTP.

Needs a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loners import Loner, Party
from networks import PATIENCE, RunningNetwork, destroy, eventually, quorumkit

from quorumkit.contracts import storage_contract
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = [
    pytest.mark.network,
    needs_goquorum,
]


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Callable[..., Party]]:
    made: list[Party] = []

    def make(total: int, **more: str) -> Party:
        made.append(Party(tmp_path, total, **{"engine": "goquorum", "engine-binary": str(GOQUORUM), **more}))
        return made[-1]

    yield make
    for each in made:
        for node in each.everyone:
            node.stop()


@pytest.mark.parametrize("consensus", ["qbft", "ibft", "raft", "clique"])
def test_a_private_contract_is_read_by_its_parties_alone(tmp_path: Path, consensus: str) -> None:
    network = RunningNetwork(tmp_path / "bank")
    try:
        up = quorumkit(
            *("up", network.path, "-n", "4", "--exchange", "--engine", "goquorum", "--consensus", consensus),
            *("--engine-binary", str(GOQUORUM), "--timeout", str(int(PATIENCE)), "--json", "--verify"),
        )
        assert up.code == 0, up.err
        verified = up.json["verify"]
        assert verified["ok"] is True
        assert verified["private"]["reads"] == {"node1": 42, "node2": 42, "node3": None, "node4": None}
        keys = {(network.node(number) / "tm/tm.pub").read_text() for number in range(1, 5)}
        assert len(keys) == 4
        network.down()
        assert network.run("up", "--json", "--verify").json["verify"]["private"]["ok"] is True
    finally:
        destroy(network.path)


def private(sender: Loner, *parties: Loner) -> tuple[str, str]:
    """A private `storage` from `sender` for `parties`; its address and block."""
    transaction = {
        "from": sender.record.identity.account,
        "gas": hex(300_000),
        "data": storage_contract().deploy_data(42),
        "privateFrom": sender.record.identity.tm_key,
        "privateFor": [party.record.identity.tm_key for party in parties],
    }
    sent = sender.ask("eth_sendTransaction", transaction)
    receipt = eventually(lambda: sender.ask("eth_getTransactionReceipt", sent), "the private contract", pause=0.2)
    return receipt["contractAddress"], receipt["blockNumber"]


def read(node: Loner, contract: tuple[str, str]) -> Any:
    address, block = contract
    eventually(lambda: int(node.ask("eth_blockNumber"), 16) >= int(block, 16), "the block", pause=0.2)
    answer = node.ask("eth_call", {"to": address, "data": storage_contract().get_data()}, "latest")
    return None if answer == "0x" else int(answer, 16)


def test_who_comes_later_is_a_party_without_a_restart_and_so_is_a_replaced_node(party: Callable[..., Party]) -> None:
    here = party(4)
    here.form()
    started = {node.path: (node.client.pid, node.record.node.enode) for node in here.nodes}
    late = here.add(Loner(here, 5))
    here.write_hosts(*here.nodes, late)
    late.start()
    eventually(late.runs, "the latecomer runs", pause=0.2)
    one, two, three, four = here.nodes
    contract = eventually(lambda: attempt(one, late), "node1 knows the latecomer's key", pause=0.5)
    assert read(one, contract) == 42
    assert read(late, contract) == 42
    assert read(two, contract) is None
    backwards = eventually(lambda: attempt(late, three), "the latecomer sends, too", pause=0.5)
    assert read(three, backwards) == 42
    assert read(one, backwards) is None

    four.stop()
    shutil.rmtree(four.path)
    new = here.add(Loner(here, 4, "node4-new-disk"))
    new.start()
    eventually(lambda: "quorumkit node replace" in new.readyz()[1], "it says what is to be done")
    assert here.replace("node4", *here.nodes[:3]) == [3, 3, 0]
    eventually(new.runs, "the new identity runs", timeout=2 * PATIENCE, pause=0.2)
    contract = eventually(lambda: attempt(two, new), "node2 knows the new key", pause=0.5)
    assert read(new, contract) == 42
    assert {node.path: (node.client.pid, node.record.node.enode) for node in here.nodes[:3]} == {
        node.path: started[node.path] for node in here.nodes[:3]
    }


def attempt(sender: Loner, receiver: Loner) -> tuple[str, str] | None:
    """A private contract, or None where the sender's manager does not know the receiver's key yet."""
    try:
        return private(sender, receiver)
    except Exception as error:
        assert "no transaction manager of this network holds" in str(error), error
        return None


def test_rafts_leader_takes_in_who_comes_later_and_a_replaced_node(party: Callable[..., Party]) -> None:
    here = party(3, consensus="raft")
    here.form()
    one, two, three = here.nodes
    late = here.add(Loner(here, 4))
    here.write_hosts(*here.nodes, late)
    late.start()
    eventually(late.runs, "the latecomer runs", timeout=2 * PATIENCE, pause=0.2)
    here.verify(one, two, three, late)
    contract = eventually(lambda: attempt(one, late), "node1 knows the latecomer's key", pause=0.5)
    assert read(late, contract) == 42
    roles = {member["nodeId"]: member["role"] for member in one.ask("raft_cluster")}
    assert roles[late.record.identity.enode_key] == "learner"
    late.stop()
    late.start()  # it is one of them now, and needs nobody's leave
    eventually(late.runs, "the latecomer runs again", timeout=2 * PATIENCE, pause=0.2)

    three.stop()
    shutil.rmtree(three.path)
    new = here.add(Loner(here, 3, "node3-new-disk"))
    new.start()
    eventually(lambda: "quorumkit node replace" in new.readyz()[1], "it says what is to be done")
    assert here.replace("node3", one, two) == [3, 0]
    eventually(new.runs, "the new identity runs", timeout=2 * PATIENCE, pause=0.2)
    here.verify(one, two, new, late)
