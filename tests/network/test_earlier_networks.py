"""Networks that an earlier commit made and ran: they go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from networks import PATIENCE, RunningNetwork, destroy

from quorumkit.engines import Binary
from support.earlier import FACTS, unpack
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = pytest.mark.network


@pytest.fixture(
    params=[
        "generated",
        "exchanged",
        pytest.param("qbft", marks=needs_goquorum),
        pytest.param("raft", marks=needs_goquorum),
    ]
)
def network(request: pytest.FixtureRequest, geth: Binary, tmp_path: Path) -> Iterator[RunningNetwork]:
    # Of two copies of one network `up` refuses the second: other runs of this test wait.
    with FileLock(f"/tmp/quorumkit-test-earlier-{os.getuid()}-{request.param}.lock", timeout=3 * PATIENCE):
        path = unpack(request.param, tmp_path)
        if GOQUORUM:
            (path / "client").symlink_to(GOQUORUM)
        yield RunningNetwork(path)
        destroy(path)


def test_it_goes_on_with_the_same_keys_and_chain(network: RunningNetwork) -> None:
    facts = FACTS[network.path.name]
    keys = network.keys()
    answer = network.run("up", "--verify", "--json").json
    assert answer["verify"]["ok"] is True
    told = {node["name"]: node for node in answer["nodes"]}
    assert told.keys() == facts["nodes"].keys()
    for number, (name, then) in enumerate(facts["nodes"].items(), start=1):
        same = ("role", "account", "validator_address", "tm_key")
        assert {field: told[name][field] for field in same} == {field: then[field] for field in same}
        assert told[name]["enode"].partition("@")[0] == then["enode"].partition("@")[0]
        assert network.block_hash(number, 0) == facts["genesis_hash"]
        assert network.block_hash(number, facts["block"]) == facts["block_hash"]
        assert int(network.ask(number, "eth_getStorageAt", facts["contract"], "0x0", "latest"), 16) == 42
    assert network.height() > facts["block"]
    assert network.keys() == keys
