"""What is told of nodes: status, readiness, metrics, and waiting for a network to be whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from samples import planned, spec_of

from quorumkit.cli.showing import show_statuses
from quorumkit.engines import Standing
from quorumkit.errors import NodeError, WaitTimeoutError
from quorumkit.node.health import HealthServer
from quorumkit.node.state import RunningState
from quorumkit.node.status import NodeStatus, State
from quorumkit.progress import silent
from quorumkit.render.node_files import record_of
from quorumkit.stages.wait import patience, wait_until_complete


def status(number: int = 1, state: State = "running", **fields: Any) -> NodeStatus:
    usual: dict[str, Any] = {"peers": 2, "expected_peers": 2, "block": 7, "pid": 100 + number, "role": "validator"}
    return NodeStatus(f"node{number}", number, state=state, **usual | fields)


@pytest.mark.parametrize("state", ["stopped", "starting", "waiting", "syncing", "stalled", "restarting", "failed"])
def test_only_a_running_node_is_ready(state: State) -> None:
    assert status().ready
    assert not status(state=state).ready
    assert not status(state=state).complete


@pytest.mark.parametrize(("peers", "complete"), [(None, False), (0, False), (1, False), (2, True), (3, True)])
def test_a_node_is_complete_with_all_its_peers(peers: int | None, complete: bool) -> None:
    assert status(peers=peers).complete is complete
    assert status(peers=peers).connected is complete


def test_a_lone_node_is_connected_once_its_client_answers() -> None:
    assert status(peers=0, expected_peers=0).connected
    assert not status(peers=None, expected_peers=0).connected


def test_a_status_is_the_same_after_json() -> None:
    one = status(error="it broke", block_hash="0x12")
    assert NodeStatus.from_json(one.to_json()) == one


def test_a_newer_programs_fields_are_passed_over() -> None:
    assert NodeStatus.from_json(status().to_json() | {"mood": "good"}) == status()


def ask(statuses: list[NodeStatus], *paths: str) -> list[tuple[int, str]]:
    async def asking() -> list[tuple[int, str]]:
        server = HealthServer("bank", lambda: statuses)
        port = await server.listen("127.0.0.1", 0)
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
                answers = []
                for path in paths:
                    async with session.get(path) as answer:
                        answers.append((answer.status, await answer.text()))
                return answers
        finally:
            await server.close()

    return asyncio.run(asking())


def test_the_program_is_healthy_whatever_its_nodes_are() -> None:
    assert ask([status(state="failed")], "/healthz") == [(200, "ok\n")]


def test_readiness_says_why() -> None:
    nodes = [status(1), status(2, "failed", peers=None, block=None, error="no such file")]
    (whole, text), (one, _), (other, _), (unknown, _) = ask(
        nodes, "/readyz", "/readyz/node1", "/readyz/node2", "/readyz/node9"
    )
    assert (whole, one, other, unknown) == (503, 200, 503, 404)
    assert text == "node1: running, block 7, 2 of 2 peers\nnode2: failed, block -, 0 of 2 peers; no such file\n"


def test_all_ready_is_ready() -> None:
    assert ask([status(1), status(2)], "/readyz")[0][0] == 200


def test_health_can_only_be_read() -> None:
    async def post() -> int:
        server = HealthServer("bank", list)
        port = await server.listen("127.0.0.1", 0)
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(f"http://127.0.0.1:{port}/healthz") as answer,
            ):
                return answer.status
        finally:
            await server.close()

    assert asyncio.run(post()) == 405


def test_metrics_are_prometheus_text() -> None:
    nodes = [status(1, restarts=3), status(2, "starting", peers=None, block=None, pid=None)]
    ((code, text),) = ask(nodes, "/metrics")
    assert code == 200
    samples = {
        (sample.name, sample.labels["node"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["quorumkit_node_ready", "node1"] == 1
    assert samples["quorumkit_node_ready", "node2"] == 0
    assert samples["quorumkit_client_up", "node1"] == 1
    assert samples["quorumkit_client_up", "node2"] == 0
    assert samples["quorumkit_block_number", "node1"] == 7
    assert ("quorumkit_block_number", "node2") not in samples
    assert samples["quorumkit_peers", "node1"] == 2
    assert samples["quorumkit_static_peers", "node2"] == 2
    assert samples["quorumkit_client_restarts_total", "node1"] == 3


def test_figures_and_what_processes_take_are_metrics() -> None:
    node = status(1, processes={"geth": os.getpid(), "cometbft": 2**22 + 1})
    node.figures = {
        "consensus_round": 2, "waits_for": "height 8", "layer_peers": {"geth": 3, "cometbft": 1}, "pruned": True,
    }  # fmt: skip
    ((_, text),) = ask([node, status(2)], "/metrics")
    samples = {
        (
            sample.name,
            *(sample.labels[name] for name in ("node", "process", "of") if name in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    names = {name for name, *_ in samples}
    assert samples["quorumkit_consensus_round", "node1"] == 2
    assert samples["quorumkit_layer_peers", "node1", "cometbft"] == 1
    assert samples["quorumkit_pruned", "node1"] == 1
    assert "quorumkit_waits_for" not in names
    assert samples["quorumkit_process_resident_bytes", "node1", "geth"] > 10**6
    assert samples["quorumkit_process_cpu_seconds_total", "", "node program"] > 0
    assert ("quorumkit_process_resident_bytes", "node1", "cometbft") not in samples  # it has ended


def test_what_consensus_waits_for_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    nodes = [status(1), status(2), status(3, error="height 8: node4 is missing"), status(4)]
    for node in nodes[:3]:
        node.figures = {"waits_for": "height 8: node4 is missing"}
    show_statuses(spec_of(4), nodes, as_json=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == ["node3: height 8: node4 is missing", "node1, node2: height 8: node4 is missing"]


def test_addresses_to_vote_for_are_shown_where_there_are_votes_by_them(capsys: pytest.CaptureFixture[str]) -> None:
    address = "0x" + "ab" * 20
    show_statuses(spec_of(2), [status(1), status(2)], as_json=False)
    assert "VALIDATOR ADDRESS" not in capsys.readouterr().out
    show_statuses(spec_of(2), [status(1, validator_address=address), status(2)], as_json=False)
    _, heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.endswith("VALIDATOR ADDRESS")
    assert first.endswith(address)
    assert second.endswith("-")


class Watched:
    """A runtime of which only `watch` is used."""

    def __init__(self, *steps: list[NodeStatus]) -> None:
        self._steps = steps

    async def watch(self, network: Any) -> AsyncGenerator[list[NodeStatus]]:
        for step in self._steps:
            yield step
        await asyncio.Event().wait()


def wait(*steps: list[NodeStatus], timeout: float = 5) -> list[NodeStatus]:
    waiting: Callable[..., Coroutine[Any, Any, list[NodeStatus]]] = wait_until_complete
    return asyncio.run(waiting(Watched(*steps), planned(spec_of(2)), silent, timeout=timeout))


def test_waiting_ends_when_every_node_is_complete() -> None:
    done = [status(1), status(2)]
    assert wait([status(1), status(2, "starting")], [status(1, peers=1), status(2)], done) == done


def test_waiting_ends_at_once_when_a_node_cannot_run() -> None:
    with pytest.raises(NodeError, match="node2: no such file") as caught:
        wait([status(1), status(2, "failed", error="no such file")])
    assert "quorumkit logs node2" in (caught.value.hint or "")


def test_a_node_that_is_started_again_is_still_waited_for() -> None:
    done = [status(1), status(2)]
    assert wait([status(1), status(2, "restarting", error="killed")], done) == done


def test_waiting_too_long_tells_who_misses_what() -> None:
    with pytest.raises(WaitTimeoutError) as caught:
        wait([status(1), status(2, "waiting", peers=0, error="it broke")], timeout=0.1)
    assert "node2 is waiting with 0 of 2 peers (it broke)" in caught.value.message
    assert "node1" not in caught.value.message


def test_patience_grows_with_the_network() -> None:
    assert patience(100) > patience(5) > 30


def test_the_role_is_what_the_chain_says_also_after_the_files_were_read_again() -> None:
    network = planned(spec_of(2))
    record = record_of(network, network.node(1))
    status = NodeStatus("node1")
    status.describe(record)
    state = RunningState(status, lambda state, error: None, say=lambda level, text: None)
    state.begin(record)
    voted_out = Standing(validates=False, validators=1)
    state.stand(voted_out)
    assert status.role == "observer"
    status.describe(record)  # its files name the role that it had at first
    assert status.role == "validator"
    state.stand(voted_out)
    assert status.role == "observer"
