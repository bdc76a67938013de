"""From a spec to a network and its files: who peers with whom, and that the same input gives the same bytes."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import endpoints_number, identity_number, planned, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.identity.keystore import checksum_address
from quorumkit.plan import FULL_MESH, peer_ordinals, plan
from quorumkit.record import NodeRecord
from quorumkit.render import render_genesis, render_node

sizes = st.integers(1, 600)


@given(sizes)
def test_peering_is_mutual_and_never_with_oneself(total: int) -> None:
    peers = {ordinal: peer_ordinals(ordinal, total) for ordinal in range(1, total + 1)}
    for ordinal, others in peers.items():
        assert others == sorted(set(others))
        assert ordinal not in others
        assert all(1 <= other <= total and ordinal in peers[other] for other in others)


@given(sizes)
def test_every_node_is_reached_in_few_hops(total: int) -> None:
    reached, edge, hops = {1}, {1}, 0
    while edge:
        edge = {other for ordinal in edge for other in peer_ordinals(ordinal, total)} - reached
        reached |= edge
        hops += bool(edge)
    assert len(reached) == total
    assert hops <= max(1, total.bit_length())


@given(st.integers(FULL_MESH + 1, 2000), st.integers(0, 10**6))
def test_large_networks_keep_few_connections(total: int, which: int) -> None:
    assert len(peer_ordinals(which % total + 1, total)) <= 2 * total.bit_length()


@pytest.mark.parametrize("total", [1, 2, 5, FULL_MESH])
def test_small_networks_are_a_full_mesh(total: int) -> None:
    for ordinal in range(1, total + 1):
        assert peer_ordinals(ordinal, total) == [other for other in range(1, total + 1) if other != ordinal]


@given(sizes, st.data())
def test_one_node_away_leaves_the_others_connected(total: int, data: st.DataObject) -> None:
    if total < 3:
        return
    away = data.draw(st.integers(1, total))
    start = 1 if away != 1 else 2
    reached, edge = {start}, {start}
    while edge:
        edge = {other for ordinal in edge for other in peer_ordinals(ordinal, total)} - reached - {away}
        reached |= edge
    assert len(reached) == total - 1


def test_the_first_ordinals_validate_and_the_rest_observe() -> None:
    network = planned(spec_of(3, 2))
    assert [node.name for node in network.nodes] == ["node1", "node2", "node3", "node4", "node5"]
    assert [node.role for node in network.nodes] == ["validator"] * 3 + ["observer"] * 2
    assert [node.ordinal for node in network.nodes] == [1, 2, 3, 4, 5]


def test_an_enode_url_names_key_address_and_no_discovery() -> None:
    assert str(planned(spec_of(2)).node(2).enode) == f"enode://{2:0128x}@127.0.0.1:20002?discport=0"


def test_an_ipv6_host_stands_in_brackets() -> None:
    assert str(Endpoint("::1", 30303)) == "[::1]:30303"


def test_identities_and_endpoints_must_be_one_for_each_node() -> None:
    with pytest.raises(ValueError, match="2 identities and 3 endpoints for 3 nodes"):
        plan(spec_of(3), [identity_number(n) for n in (1, 2)], [endpoints_number(n) for n in (1, 2, 3)])


@pytest.mark.parametrize(("validators", "observers"), [(1, 0), (5, 0), (4, 3), (40, 20)])
def test_the_same_input_gives_the_same_bytes(validators: int, observers: int) -> None:
    one, other = (planned(spec_of(validators, observers)) for _ in range(2))
    assert render_genesis(one) == render_genesis(other)
    for ordinal in range(1, validators + observers + 1):
        assert render_node(one, one.node(ordinal)) == render_node(other, other.node(ordinal))


def test_a_record_is_what_the_node_program_reads() -> None:
    network = planned(spec_of(4, 1, chain_id=77, consensus={"period": 3}))
    record = NodeRecord.model_validate_json(render_node(network, network.node(5))["node.json"])
    assert (record.network, record.name, record.ordinal, record.role) == ("bank", "node5", 5, "observer")
    assert (record.chain_id, record.consensus.period, record.consensus.quorum) == (77, 3, 3)
    assert [peer.name for peer in record.peers] == ["node1", "node2", "node3", "node4"]
    assert record.peers[0].enode == network.node(1).enode


def test_client_files_hold_static_and_trusted_peers_and_no_open_slot() -> None:
    network = planned(spec_of(4))
    config = tomllib.loads(render_node(network, network.node(2))["geth.toml"].decode())["Node"]
    peers = [str(network.node(ordinal).enode) for ordinal in (1, 3, 4)]
    assert config["P2P"]["StaticNodes"] == config["P2P"]["TrustedNodes"] == peers
    assert config["P2P"]["NoDiscovery"] is True
    assert config["P2P"]["DialRatio"] == 1
    assert config["P2P"]["ListenAddr"] == "127.0.0.1:20002"
    assert (config["HTTPHost"], config["HTTPPort"]) == ("127.0.0.1", 10002)
    assert config["HTTPModules"] == ["eth", "net", "web3", "txpool"]
    assert config["HTTPVirtualHosts"] == ["localhost"]


def test_a_lone_node_has_no_peers() -> None:
    network = planned(spec_of(1))
    config = tomllib.loads(render_node(network, network.node(1))["geth.toml"].decode())["Node"]
    assert config["P2P"]["StaticNodes"] == []
    assert config["P2P"]["DialRatio"] == 1


def test_the_genesis_funds_validators_and_what_the_spec_allots() -> None:
    rich = checksum_address(f"{0xABCDEF:040x}")
    assert rich != rich.lower()
    network = planned(spec_of(2, 1, genesis={"node_balance": 5, "alloc": {rich: 7}}))
    assert json.loads(render_genesis(network))["alloc"] == {
        f"{1:040x}": {"balance": "0x5"},
        f"{2:040x}": {"balance": "0x5"},
        f"{0xABCDEF:040x}": {"balance": "0x7"},
    }


def test_an_observer_changes_nothing_in_the_genesis() -> None:
    assert render_genesis(planned(spec_of(3, 0))) == render_genesis(planned(spec_of(3, 5)))


def test_the_genesis_is_for_london_without_a_merge() -> None:
    genesis = json.loads(render_genesis(planned(spec_of(2, chain_id=4711, consensus={"period": 9, "epoch": 100}))))
    config = genesis["config"]
    assert config["chainId"] == 4711
    assert config["clique"] == {"period": 9, "epoch": 100}
    assert config["londonBlock"] == config["berlinBlock"] == config["homesteadBlock"] == 0
    assert "terminalTotalDifficulty" not in config
    assert genesis["difficulty"] == "0x1"
    assert genesis["baseFeePerGas"] == "0x0"
    assert genesis["gasLimit"] == hex(30_000_000)


@pytest.mark.parametrize("validators", [1, 3, 5, 40])
def test_a_client_may_dial_all_its_peers(validators: int) -> None:
    """With a lower limit, two that both dialled others first would never find each other."""
    network = planned(spec_of(validators))
    for node in network.nodes:
        config = tomllib.loads(render_node(network, node)["geth.toml"].decode())["Node"]["P2P"]
        assert config["MaxPeers"] // config["DialRatio"] >= max(1, len(config["StaticNodes"]))
