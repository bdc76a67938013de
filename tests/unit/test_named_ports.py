"""A port that a kind of client needs is one entry in its recipe: all the rest is told of it from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from samples import endpoints_number, identity_number, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.engines import NamedPort
from quorumkit.files import to_json
from quorumkit.plan import NodeEndpoints, plan, ports_in
from quorumkit.providers.local_one import OneProgramProvider
from quorumkit.record import read_record
from quorumkit.render.containers import container_endpoints
from quorumkit.render.node_files import record_of
from quorumkit.spec import NetworkSpec
from support import fake_engine
from support.fake_engine.recipe import FakeRecipe

GOSSIP = NamedPort(number=9000, block=range(20100, 20200), about="Where gossip goes.", enode_field="gossipport")


class Gossiping(FakeRecipe):
    def ports(self, consensus: str) -> Mapping[str, NamedPort]:
        return {"gossip": GOSSIP}


@pytest.fixture(autouse=True)
def spec(monkeypatch: pytest.MonkeyPatch) -> NetworkSpec:
    fake_engine.register(monkeypatch)
    monkeypatch.setattr("support.fake_engine.recipe.RECIPE", Gossiping())
    return spec_of(2, engine={"kind": fake_engine.KIND})


def test_a_container_has_it_at_its_number(spec: NetworkSpec) -> None:
    endpoints = container_endpoints(spec, "10.0.0.2", rpc_url="http://10.0.0.2:8545", rpc_names=())
    assert endpoints.ports == {"gossip": 9000}


def test_processes_have_it_in_its_block_and_keep_it(spec: NetworkSpec, tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    provider = OneProgramProvider(NetworkDirectory(tmp_path / "bank"), spec)
    endpoints = provider.addresses(spec, [None, None])
    first = endpoints[0].ports["gossip"]
    assert first in GOSSIP.block
    assert [each.ports for each in endpoints] == [{"gossip": first}, {"gossip": first + 1}]
    assert provider.addresses(spec, [*endpoints]) == endpoints


def test_peers_and_records_tell_it(spec: NetworkSpec, tmp_path: Path) -> None:
    def endpoints(number: int) -> NodeEndpoints:
        return replace(endpoints_number(number), ports={"gossip": 20100 + number})

    network = plan(spec, [identity_number(n) for n in (1, 2)], [endpoints(n) for n in (1, 2)])
    assert str(network.node(1).enode).endswith("@127.0.0.1:20001?discport=0&gossipport=20101")
    assert ports_in(network.node(2).enode) == {"gossip": 20102}
    record = record_of(network, network.node(1))
    (tmp_path / "node.json").write_bytes(to_json(record.model_dump()))
    assert read_record(tmp_path) == record
