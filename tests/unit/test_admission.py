"""Members take in nodes that wait, whatever goes wrong meanwhile; without members."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from samples import planned, spec_of
from test_goquorum_engine import network_of

from quorumkit.errors import NotRunningError, RpcError
from quorumkit.node.status import NodeStatus, State
from quorumkit.plan import Network
from quorumkit.providers.local_one import OneProgramProvider
from quorumkit.stages import admit as admitting
from quorumkit.stages.admit import admit_newcomers


class Runtime(OneProgramProvider):
    """Nodes that wait until they are told; some members cannot be asked."""

    def __init__(self, network: Network, *, leads_after: int = 0) -> None:
        self.states: dict[str, State] = {node.name: "running" for node in network.nodes}
        self.leads_after = leads_after
        self.asked: list[tuple[Any, ...]] = []
        self.admitted: dict[str, Any] = {}

    async def status(self, network: Network) -> list[NodeStatus]:
        return [NodeStatus(name=name, state=state) for name, state in self.states.items()]

    async def call(self, name: str, method: str, *params: Any) -> Any:
        if method == "node_admitted":
            _, told = params
            self.admitted[name] = told
            self.states[name] = "waiting"
            return None
        self.asked.append(params)
        if name == "node1":
            raise NotRunningError("it does not run")
        if name == "node2" or len(self.asked) <= self.leads_after:
            raise RpcError("it does not lead")
        return str(10 + len(self.admitted))


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admitting, "_LOOK_EVERY", 0.001)


def admit(runtime: Runtime, network: Network) -> None:
    async def run() -> None:
        async with asyncio.timeout(10):
            await admit_newcomers(runtime, network)

    asyncio.run(run())


def test_who_waits_is_taken_in_by_the_first_member_that_can() -> None:
    network = network_of("raft", 3, 2)
    runtime = Runtime(network, leads_after=20)
    runtime.states |= {"node4": "admitting", "node5": "admitting"}
    admit(runtime, network)
    assert runtime.admitted == {"node4": "10", "node5": "11"}
    assert {enode for _, enode in runtime.asked} == {str(network.node(4).enode), str(network.node(5).enode)}


def test_nobody_is_asked_where_nobody_waits() -> None:
    network = network_of("raft", 3, 1)
    runtime = Runtime(network)
    admit(runtime, network)
    assert runtime.asked == []


def test_other_networks_have_nothing_to_do_with_it(tmp_path: Path) -> None:
    for network in (network_of("qbft", 3, 1), planned(spec_of(2, 1))):
        runtime = Runtime(network)
        runtime.states["node4"] = "admitting"
        admit(runtime, network)
        assert runtime.asked == []
