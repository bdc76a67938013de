"""Which fields of a spec no longer give a genesis: named by their paths, whatever the client's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from samples import planned, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.drift import check_drift, drift_of
from quorumkit.errors import GenesisMismatchError
from quorumkit.exchange.other_genesis import other_genesis
from quorumkit.files import to_json
from quorumkit.identities.agreed import check_spec, write_down
from quorumkit.node.status import NodeStatus
from quorumkit.render.containers import container_endpoints

SOMEBODY = "0x" + "ab" * 20
GOQUORUM = {"engine": {"kind": "goquorum"}}
BFT = {"consensus": {"kind": "bft"}}
FORK_AT_7 = {"genesis": {"fork_times": {"bpo1": 7}}}


def drifted(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    genesis = json.loads(to_json(planned(spec_of(3, **before)).genesis))
    return [drift.field for drift in drift_of(spec_of(3, **after), genesis, validators=3)]


@pytest.mark.parametrize(("before", "after", "fields"), [
    ({}, {"consensus": {"period": 5}}, ["consensus.period"]),
    ({}, {"consensus": {"epoch": 7}}, ["consensus.epoch"]),
    ({}, {"chain_id": 7}, ["chain_id"]),
    ({}, {"genesis": {"gas_limit": 31_000_000}}, ["genesis.gas_limit"]),
    ({}, {"genesis": {"node_balance": 10**21 + 1}}, ["genesis.node_balance"]),
    ({}, {"genesis": {"node_balance": 0}}, ["genesis.node_balance"]),
    ({"genesis": {"node_balance": 0}}, {}, ["genesis.node_balance"]),
    (BFT, BFT | FORK_AT_7, ["genesis.fork_times"]),
    (BFT | FORK_AT_7, BFT, ["genesis.fork_times"]),
    (BFT | FORK_AT_7, BFT | {"genesis": {"fork_times": {"bpo1": 8}}}, ["genesis.fork_times"]),
    ({}, {"genesis": {"alloc": {SOMEBODY: 1}}}, ["genesis.alloc"]),
    ({"genesis": {"alloc": {SOMEBODY: 1}}}, {}, ["genesis.alloc"]),
    ({"genesis": {"alloc": {SOMEBODY: 1}}}, {"genesis": {"alloc": {SOMEBODY: 2}}}, ["genesis.alloc"]),
    ({}, {"chain_id": 7, "consensus": {"period": 2}}, ["chain_id", "consensus.period"]),
    (GOQUORUM, {**GOQUORUM, "consensus": {"period": 5}}, ["consensus.period"]),
    (GOQUORUM, {**GOQUORUM, "consensus": {"request_timeout": 5}}, ["consensus.request_timeout"]),
    (GOQUORUM, {**GOQUORUM, "consensus": {"max_request_timeout": 60}}, ["consensus.max_request_timeout"]),
    (GOQUORUM, {**GOQUORUM, "consensus": {"kind": "ibft"}}, ["consensus.kind"]),
])  # fmt: skip
def test_what_changed_is_named_by_the_specs_own_path(
    before: dict[str, Any], after: dict[str, Any], fields: list[str]
) -> None:
    assert drifted(before, after) == fields


@pytest.mark.parametrize(
    "same", [{}, GOQUORUM, {"genesis": {"alloc": {SOMEBODY: 5}}}, {"genesis": {"node_balance": 0}}]
)
def test_other_keys_and_what_decides_no_genesis_are_no_drift(same: dict[str, Any]) -> None:
    assert drifted(same, {**same, "ports": {"rpc": 9000}}) == []
    assert drift_of(spec_of(3, 4, **same), planned(spec_of(3, **same)).genesis, validators=3) == []


def test_another_engine_is_named() -> None:
    genesis = planned(spec_of(3)).genesis
    named = {drift.field for drift in drift_of(spec_of(3, engine={"kind": "goquorum"}), genesis)}
    assert named & {"engine.kind", "consensus.kind"}


def test_the_number_of_validators_comes_before_all_that_follows_from_it() -> None:
    with pytest.raises(GenesisMismatchError, match=r"^nodes\.validators: 4 ") as refused:
        check_drift(spec_of(4), planned(spec_of(3)).genesis, validators=3)
    assert refused.value.hint and "nodes.observers" in refused.value.hint


def formed(path: Path, **fields: Any) -> NetworkDirectory:
    """The directory of a network whose nodes made their own keys, once they have told who they are."""
    directory, spec = NetworkDirectory(path), spec_of(2, **fields)
    path.mkdir()
    directory.spec.write_text("name: bank\n")
    network = planned(spec)
    statuses = [
        NodeStatus(node.name, node.ordinal, "validator", enode=str(node.enode), account=node.identity.account)
        for node in network.nodes
    ]
    endpoints = [container_endpoints(spec, node.name, rpc_url="http://x:1", rpc_names=()) for node in network.nodes]
    write_down(directory, spec, statuses, endpoints)
    return directory


@pytest.mark.parametrize(("fields", "named"), [
    ({"consensus": {"period": 5}}, r"^consensus\.period: 5 "),
    ({"name": "other"}, "^name: this network was made as bank"),
])  # fmt: skip
def test_nodes_that_made_their_own_keys_keep_what_they_agreed_on(
    tmp_path: Path, fields: dict[str, Any], named: str
) -> None:
    directory = formed(tmp_path / "bank")
    check_spec(directory, spec_of(2))
    check_spec(directory, spec_of(2, 1))
    with pytest.raises(GenesisMismatchError, match=named):
        check_spec(directory, spec_of(2, **fields))
    with pytest.raises(GenesisMismatchError, match=r"^nodes\.validators: 3 "):
        check_spec(directory, spec_of(3))


def test_a_lost_or_replaced_node_is_no_other_number_of_validators(tmp_path: Path) -> None:
    directory = formed(tmp_path / "bank")
    record = directory.node("node2") / "node.json"
    record.write_text(record.read_text().replace('"validator"', '"observer"'))
    check_spec(directory, spec_of(2))
    record.unlink()
    check_spec(directory, spec_of(2))
    with pytest.raises(GenesisMismatchError, match=r"^nodes\.validators: 3 "):
        check_spec(directory, spec_of(3))


def test_a_locked_node_names_the_field_that_differs(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_bytes(to_json(planned(spec_of(2)).genesis))
    assert other_genesis(spec_of(2, consensus={"period": 9}), tmp_path, nodes=2).message.startswith(
        "consensus.period: 9 gives another genesis"
    )
    assert other_genesis(spec_of(3), tmp_path, nodes=2).message.startswith("nodes.validators: 3 ")
    (tmp_path / "genesis.json").unlink()
    assert "another genesis" in other_genesis(spec_of(2), tmp_path, nodes=2).message
