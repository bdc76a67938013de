"""The node program's control socket, with nodes that are not there."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from quorumkit.errors import NodeError, RpcError
from quorumkit.node.control import Controlled, ControlServer
from quorumkit.rpc import IpcRpc
from quorumkit.rpc.sockets import short_socket_path


class Nodes:
    """Does what a supervisor does, without clients."""

    def __init__(self) -> None:
        self.states = {"node1": "running", "node2": "running"}
        self.asked: list[str] = []
        self._change = asyncio.Event()

    def status(self) -> list[dict[str, Any]]:
        return [{"name": name, "state": state} for name, state in self.states.items()]

    def info(self) -> dict[str, Any]:
        return {"network": "bank"}

    def start_nodes(self, names: list[str]) -> None:
        self._set(names, "running")

    async def stop_nodes(self, names: list[str]) -> None:
        self._set(names, "stopped")

    def shut_down(self) -> None:
        self.asked.append("shutdown")

    def next_change(self) -> asyncio.Event:
        return self._change

    def _set(self, names: list[str], state: str) -> None:
        for name in names:
            if name not in self.states:
                raise NodeError(f"no node {name} here")
            self.states[name] = state
            self.asked.append(f"{name} {state}")
        self._change.set()
        self._change = asyncio.Event()


def run(path: Path, client: Callable[[Nodes], Awaitable[Any]]) -> Any:
    async def both() -> Any:
        nodes = Nodes()
        server = ControlServer(cast("Controlled", nodes), path)
        await server.listen()
        try:
            async with asyncio.timeout(20):
                return await client(nodes)
        finally:
            await server.close()

    return asyncio.run(both())


def asking(path: Path, *calls: tuple[Any, ...]) -> Callable[[Nodes], Awaitable[Any]]:
    async def client(nodes: Nodes) -> Any:
        async with await IpcRpc.connect(path, where="control") as rpc:
            return [await rpc.call(*call) for call in calls][-1], nodes

    return client


def test_it_tells_the_status_of_every_node(tmp_path: Path) -> None:
    answer, _ = run(tmp_path / "s", asking(tmp_path / "s", ("node_status",)))
    assert answer == [{"name": "node1", "state": "running"}, {"name": "node2", "state": "running"}]


def test_it_stops_starts_and_restarts_the_nodes_named(tmp_path: Path) -> None:
    path = tmp_path / "s"
    calls = [("node_stop", ["node1"]), ("node_start", ["node1"]), ("node_restart", ["node2"]), ("supervisor_shutdown",)]
    _, nodes = run(path, asking(path, *calls))
    assert nodes.asked == ["node1 stopped", "node1 running", "node2 stopped", "node2 running", "shutdown"]


def test_an_unknown_node_is_told(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="no node node9 here"):
        run(tmp_path / "s", asking(tmp_path / "s", ("node_stop", ["node9"])))


@pytest.mark.parametrize("call", [("node_explode",), ("node_stop",), ("node_stop", ["node1"], 2), ("node_stop", 5)])
def test_a_wrong_request_is_answered_with_an_error(call: tuple[Any, ...], tmp_path: Path) -> None:
    with pytest.raises(RpcError):
        run(tmp_path / "s", asking(tmp_path / "s", call))


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", "5", "null", "{}", '{"id": 1}', '{"method": "node_status"}', '{"id": 1, "method": ["x"]}',
     '{"id": 1, "method": null}', '{"id": 1, "method": "node_stop", "params": {"names": 1}}', "\xff"],
)  # fmt: skip
def test_nonsense_harms_nobody_else(line: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    trouble: list[dict[str, Any]] = []

    async def client(nodes: Nodes) -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: trouble.append(context))
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(line.encode("latin-1") + b"\n")
        writer.write_eof()
        await reader.read()
        writer.close()
        async with await IpcRpc.connect(path) as rpc:
            return await rpc.call("node_status")

    assert len(run(path, client)) == 2
    assert trouble == []


def test_a_subscriber_gets_the_present_state_and_each_change(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def client(nodes: Nodes) -> list[str]:
        seen = []
        async with (
            await IpcRpc.connect(path) as rpc,
            contextlib.aclosing(rpc.subscribe(namespace="status")) as statuses,
        ):
            async for status in statuses:
                seen.append(status[0]["state"])
                if len(seen) == 1:
                    await rpc.call("node_stop", ["node1"])
                elif len(seen) == 2:
                    await rpc.call("node_start", ["node1"])
                else:
                    break
        return seen

    assert run(path, client) == ["running", "stopped", "running"]


def test_a_subscriber_that_goes_away_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "s"

    async def client(nodes: Nodes) -> Any:
        for _ in range(3):
            async with (
                await IpcRpc.connect(path) as rpc,
                contextlib.aclosing(rpc.subscribe(namespace="status")) as statuses,
            ):
                await anext(statuses)
        await nodes.stop_nodes(["node1"])
        async with await IpcRpc.connect(path) as rpc:
            return await rpc.call("node_status")

    assert run(path, client)[0]["state"] == "stopped"


def test_the_socket_is_its_owners_alone(tmp_path: Path) -> None:
    async def client(nodes: Nodes) -> int:
        return stat.S_IMODE((tmp_path / "s").stat().st_mode)

    assert run(tmp_path / "s", client) == 0o600
    assert not (tmp_path / "s").exists()


def test_a_socket_that_a_killed_program_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("left")
    answer, _ = run(tmp_path / "s", asking(tmp_path / "s", ("supervisor_info",)))
    assert answer == {"network": "bank"}


def test_it_listens_in_deep_directories(tmp_path: Path) -> None:
    directory = tmp_path.joinpath(*["some-directory"] * 20)
    directory.mkdir(parents=True)
    path = directory / "control.sock"

    async def client(nodes: Nodes) -> Any:
        with short_socket_path(path) as name:
            reader, writer = await asyncio.open_unix_connection(name)
        writer.write(b'{"id": 1, "method": "supervisor_info"}\n')
        answer = json.loads(await reader.readline())
        writer.close()
        return answer

    assert run(path, client) == {"jsonrpc": "2.0", "id": 1, "result": {"network": "bank"}}


def test_a_method_that_fails_answers_at_once(tmp_path: Path) -> None:
    async def client(nodes: Nodes) -> Any:
        nodes.info = lambda: dict[str, Any]()["nothing"]  # type: ignore[method-assign]
        async with await IpcRpc.connect(tmp_path / "s", where="control") as rpc:
            with pytest.raises(RpcError, match="the node program failed: KeyError"):
                await rpc.call("supervisor_info")
            return await rpc.call("node_status")

    assert run(tmp_path / "s", client)
