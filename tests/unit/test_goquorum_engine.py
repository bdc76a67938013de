"""The GoQuorum engine without GoQuorum: its files and command line, and how raft takes nodes in."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
from samples import endpoints_number, identity_number, spec_of

from quorumkit.engines import driver_of, recipe_of
from quorumkit.engines.geth.driver import GethDriver
from quorumkit.engines.goquorum.driver import GoQuorumDriver
from quorumkit.errors import NodeError
from quorumkit.plan import Network, NodeEndpoints, plan
from quorumkit.process_spec import LoggedLine, client_of
from quorumkit.render.node_files import record_of
from quorumkit.rpc import Rpc

GOQUORUM = recipe_of("goquorum")
DRIVER = driver_of("goquorum")
KINDS = ["qbft", "ibft", "raft", "clique"]


def network_of(kind: str, validators: int = 3, observers: int = 0) -> Network:
    spec = spec_of(validators, observers, engine={"kind": "goquorum"}, consensus={"kind": kind})

    def endpoints(number: int) -> NodeEndpoints:
        plain = endpoints_number(number)
        return NodeEndpoints(
            **{name: getattr(plain, name) for name in ("p2p", "p2p_bind", "rpc_bind", "rpc_url")},
            ports={"raft": 27000 + number} if kind == "raft" else {},
        )

    numbers = range(1, spec.nodes.total + 1)
    return plan(spec, [identity_number(number) for number in numbers], [endpoints(number) for number in numbers])


def command_of(network: Network, ordinal: int, admission: str | None = None) -> list[str]:
    record = record_of(network, network.node(ordinal))
    return list(client_of(GOQUORUM.processes(Path("/cache/geth"), record, admission=admission)).argv)


def files_of(network: Network, ordinal: int) -> dict[str, Any]:
    files = GOQUORUM.node_files(network, network.node(ordinal))
    return {
        name: tomllib.loads(content.decode()) if name.endswith("toml") else json.loads(content)
        for name, content in files.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_account_is_opened_over_the_socket_and_paths_stay_short(kind: str) -> None:
    command = command_of(network_of(kind), 1)
    assert not {"--unlock", "--password", "--mine", "--http"} & set(command)
    assert not [word for word in command[1:] if word.startswith("/")]
    for word in ("--config", "--datadir", "--ipcpath", "--networkid", "--cache", "--permissioned"):
        assert command.count(word) == 1


class Asked:
    """A client that notes what it was asked."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        self.asked.append(method)
        return self.answers.get(method)


def test_clique_seals_as_geths_does() -> None:
    for name in ("accept_blocks", "open_account", "stop_sealing"):
        assert getattr(GoQuorumDriver, name) is getattr(GethDriver, name)
    network = network_of("clique", 2)
    record, asked = record_of(network, network.node(1)), []
    for driver in (GoQuorumDriver(), GethDriver()):
        client = Asked({"admin_peers": [], "eth_mining": False})
        asyncio.run(driver.seal(cast("Rpc", client), record))
        asked.append(client.asked)
    assert asked[0] == asked[1]


@pytest.mark.parametrize("kind", ["qbft", "ibft"])
def test_bft_validators_begin_without_a_stop(kind: str) -> None:
    """A stop would have peers' messages refused, and the peers dropped."""
    network, client = network_of(kind, 2), Asked({})
    asyncio.run(GoQuorumDriver().seal(cast("Rpc", client), record_of(network, network.node(1))))
    assert client.asked == ["miner_start"]


def test_a_qbft_node_reads_the_validators_from_its_first_start_on() -> None:
    for kind in KINDS:
        network = network_of(kind, 2)
        commands = GOQUORUM.setup_commands(Path("geth"), record_of(network, network.node(1)), "genesis.json")
        assert len(commands) == (2 if kind == "qbft" else 1)
        for command in commands[1:]:  # nobody can reach it meanwhile
            assert {"--ipcdisable", "--nodiscover"} <= set(command)
            assert command[command.index("--maxpeers") + 1] == "0"


def test_a_raft_node_is_asked_nothing_before_it_has_read_its_members() -> None:
    opened, started = "INFO [..] IPC endpoint opened   url=data/geth.ipc", "INFO [..] raft node started"
    for kind in KINDS:
        network = network_of(kind, 2)
        client = client_of(GOQUORUM.processes(Path("geth"), record_of(network, network.node(1))))
        assert isinstance(client.ready, LoggedLine)
        assert client.ready.is_one(opened) is (kind != "raft")
        assert client.ready.is_one(started) is (kind == "raft")


def test_a_client_with_less_difficulty_than_a_peer_lags() -> None:
    def peers(*eth: object) -> list[dict[str, Any]]:
        return [{"protocols": {"eth": each}} for each in eth]

    head = {"totalDifficulty": "0xa"}
    for told, level in (
        (peers({"difficulty": 10}, {"difficulty": 9}), True),
        (peers({"difficulty": 9}, {"difficulty": 11}), False),
        (peers({"difficulty": 9}, "handshake"), False),
        ([], True),
    ):
        client = Asked({"admin_peers": told, "eth_getBlockByNumber": head})
        assert asyncio.run(GoQuorumDriver().is_level(cast("Rpc", client))) is level


@pytest.mark.parametrize("kind", KINDS)
def test_permitted_are_all_nodes_and_the_first_raft_members_are_the_validators(kind: str) -> None:
    network = network_of(kind, 3, 1)
    for ordinal in range(1, 5):
        files = files_of(network, ordinal)
        assert files["data/permissioned-nodes.json"] == [str(node.enode) for node in network.nodes]
        if kind == "raft":
            assert files["data/static-nodes.json"] == [str(node.enode) for node in network.nodes[:3]]


def test_the_first_raft_members_are_the_same_however_many_come_later() -> None:
    assert (
        files_of(network_of("raft", 3), 1)["data/static-nodes.json"]
        == (files_of(network_of("raft", 3, 5), 8)["data/static-nodes.json"])
    )


def test_a_raft_newcomer_lets_members_in_and_dials_nobody_by_itself() -> None:
    p2p = files_of(network_of("raft", 3, 1), 4)["geth.toml"]["Node"]["P2P"]
    assert (p2p["StaticNodes"], len(p2p["TrustedNodes"])) == ([], 3)


def test_only_raft_observers_need_admission_and_are_told_their_raft_id() -> None:
    for kind in KINDS:
        network = network_of(kind, 3, 1)
        needing = [node.ordinal for node in network.nodes if GOQUORUM.needs_admission(record_of(network, node))]
        assert needing == ([4] if kind == "raft" else [])
    network = network_of("raft", 3, 1)
    command = command_of(network, 4, "7")
    assert command[command.index("--raftjoinexisting") + 1] == "7"
    assert "--raftjoinexisting" not in command_of(network, 1)


class Member:
    """A raft member's client that applies what it proposed some questions later."""

    def __init__(self, role: str, members: list[str], *, applies_after: int = 2) -> None:
        self.role, self.members = role, list(members)
        self.proposed: list[str] = []
        self.removed: set[int] = set()
        self._after = applies_after

    async def call(self, method: str, *params: Any, timeout: float = 10) -> Any:
        if method == "raft_role":
            return self.role
        if method == "raft_addLearner":
            self.proposed.append(params[0])
            return len(self.members) + 1
        if method == "raft_removePeer":
            self.removed.add(params[0])
            return None
        assert method == "raft_cluster"
        if self.proposed:
            self._after -= 1
            if self._after == 0:
                self.members.append(self.proposed[0].removeprefix("enode://").partition("@")[0])
        return [
            {"raftId": number, "nodeId": key, "hostname": f"node{number}", "p2pPort": 30303}
            for number, key in enumerate(self.members, start=1)
            if number not in self.removed
        ]


def rpc(member: Member) -> Rpc:
    """It is only called."""
    return cast("Rpc", member)


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorumkit.engines.goquorum.driver._APPLIED_SOON", 0.001)
    monkeypatch.setattr("quorumkit.engines.goquorum.driver._ADMITTED_WITHIN", 0.5)


def test_the_leader_takes_a_node_in_and_tells_its_id_once_raft_has_applied_it() -> None:
    network = network_of("raft", 3, 1)
    leader = Member("minter", [node.identity.enode_key for node in network.nodes[:3]])
    assert asyncio.run(DRIVER.admit(rpc(leader), str(network.node(4).enode))) == "4"
    assert leader.proposed
    proposed = len(leader.proposed)
    assert asyncio.run(DRIVER.admit(rpc(leader), str(network.node(4).enode))) == "4"  # twice does no harm
    assert len(leader.proposed) == proposed


def test_a_lost_member_is_taken_off_the_list_before_the_node_in_its_place_comes_in() -> None:
    network = network_of("raft", 3, 1)
    leader = Member("minter", [node.identity.enode_key for node in network.nodes[:3]])
    new = f"enode://{network.node(4).identity.enode_key}@node3:30303?discport=0&raftport=50400"
    assert asyncio.run(DRIVER.admit(rpc(leader), new)) == "4"
    assert leader.removed == {3}


def test_who_gives_another_members_place_for_his_own_puts_nobody_out() -> None:
    """Whoever has the join secret can come as an observer and say what host and port he likes."""
    network = network_of("raft", 3, 1)
    keys = [node.identity.enode_key for node in network.nodes[:3]]
    leader = Member("minter", keys)
    thief = f"enode://{network.node(4).identity.enode_key}@node3:30303?discport=0&raftport=50400"
    with pytest.raises(NodeError, match="was not replaced"):
        asyncio.run(DRIVER.admit(rpc(leader), thief, replaced={keys[1]}))
    assert not leader.removed
    assert not leader.proposed
    assert asyncio.run(DRIVER.admit(rpc(leader), thief, replaced={keys[2]})) == "4"
    assert leader.removed == {3}


@pytest.mark.parametrize("role", ["verifier", "learner", ""])
def test_nobody_but_the_leader_takes_a_node_in(role: str) -> None:
    network = network_of("raft", 3, 1)
    member = Member(role, [node.identity.enode_key for node in network.nodes[:3]])
    with pytest.raises(NodeError, match="does not lead"):
        asyncio.run(DRIVER.admit(rpc(member), str(network.node(4).enode)))
    assert not member.proposed


def test_a_proposal_that_is_never_applied_is_told() -> None:
    network = network_of("raft", 3, 1)
    leader = Member("minter", [], applies_after=-1)
    with pytest.raises(NodeError, match="did not take the node in"):
        asyncio.run(DRIVER.admit(rpc(leader), str(network.node(4).enode)))
