"""The node program with nodes of the fake engine: what it can be asked, what it leaves on disk, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from filelock import FileLock
from samples import fixed_addresses, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import CorruptFileError, NodeError, PortError, RpcError
from quorumkit.identities.generated import generate
from quorumkit.node import program, restarts
from quorumkit.node.control import SOCKET_NAME
from quorumkit.node.info import INFO_NAME, LOCK_NAME, read_info
from quorumkit.node.program import Options, Program
from quorumkit.progress import silent
from quorumkit.rpc import IpcRpc
from support import fake_engine
from support.logs import until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine.register(monkeypatch)
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.01)


@pytest.fixture
def network(tmp_path: Path) -> NetworkDirectory:
    """Of two validators and an observer."""
    directory = NetworkDirectory(tmp_path / "bank")
    generate(directory, spec_of(2, 1, engine={"kind": fake_engine.KIND}), fixed_addresses, silent)
    return directory


class Controlled:
    """A node program, asked over its socket."""

    def __init__(self, network: NetworkDirectory, program: Program, rpc: IpcRpc) -> None:
        self.network = network
        self.program = program
        self.rpc = rpc

    def state(self, name: str) -> str:
        return next(str(status["state"]) for status in self.program.status() if status["name"] == name)

    async def are_running(self, *names: str) -> None:
        await until(lambda: all(self.state(name) == "running" for name in names))


def options(network: NetworkDirectory, *names: str, **fields: Any) -> Options:
    nodes = [network.node(name) for name in names or ("node1", "node2")]
    return Options(nodes=nodes, state=network.path / ".state", logs=network.path / "logs", **fields)


def run(network: NetworkDirectory, given: Options, play: Callable[[Controlled], Awaitable[None]]) -> None:
    given.state.mkdir(exist_ok=True)

    async def both() -> None:
        carrying = Program(given)
        running = asyncio.create_task(carrying.run())
        socket = given.state / SOCKET_NAME
        await until(lambda: socket.exists() or running.done())
        try:
            async with asyncio.timeout(40), await IpcRpc.connect(socket) as rpc:
                await play(Controlled(network, carrying, rpc))
        finally:
            carrying.shut_down()
            await running
        assert not any(status["processes"] for status in carrying.status())
        assert not socket.exists() and not (given.state / INFO_NAME).exists()

    asyncio.run(both())


def test_its_nodes_are_started_stopped_and_started_again_by_name(network: NetworkDirectory) -> None:
    async def play(asked: Controlled) -> None:
        await asked.are_running("node1")
        assert asked.state("node2") == "stopped"
        await asked.rpc.call("node_start", ["node2"])
        await asked.are_running("node2")
        pid = asked.program.status()[1]["pid"]
        await asked.rpc.call("node_restart", ["node2"])
        await asked.are_running("node2")
        assert asked.program.status()[1]["pid"] != pid
        await asked.rpc.call("node_stop", ["node1", "node2"])
        assert {status["state"] for status in await asked.rpc.call("node_status")} == {"stopped"}
        with pytest.raises(RpcError, match="no node node9 here"):
            await asked.rpc.call("node_stop", ["node1", "node9"])

    run(network, options(network, stopped=frozenset({"node2"})), play)
    log = (network.path / "logs/node2.log").read_text()
    assert log.count("client: client is ready") == 2


def test_it_takes_further_nodes_and_has_them_admitted(network: NetworkDirectory) -> None:
    async def play(asked: Controlled) -> None:
        await asked.are_running("node1", "node2")
        for _ in range(2):  # carried already, it is left alone
            await asked.rpc.call("node_carry", [str(network.node("node3"))])
        await until(lambda: asked.state("node3") == "admitting")
        admission = await asked.rpc.call("node_admit", "node1", "enode://")
        await asked.rpc.call("node_admitted", "node3", admission)
        await asked.are_running("node3")
        await asked.rpc.call("node_reload", ["node1", "node2", "node3"])
        with pytest.raises(RpcError, match="generated together, not exchanged"):
            await asked.rpc.call("node_replace", "node1")

    run(network, options(network), play)
    assert "reload client" in (network.node("node3") / "events").read_text()


def test_it_says_where_it_is_and_how_its_nodes_are(network: NetworkDirectory) -> None:
    async def play(asked: Controlled) -> None:
        await asked.are_running("node1")
        info = await asked.rpc.call("supervisor_info")
        assert read_info(network.path / ".state") == info
        assert (info["pid"], info["network"]) == (os.getpid(), "bank")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{info['health_port']}") as session:
            async with session.get("/readyz", headers={"Host": "bank.example"}) as answer:
                assert answer.status == 200
                # The block goes on rising meanwhile.
                assert re.fullmatch(r"node1: running, block \d+, 2 of 2 peers\n", await answer.text())
            async with session.get("/readyz", headers={"Host": "other.example"}) as answer:
                assert answer.status != 200

    names = frozenset({"bank.example"})
    run(network, options(network, "node1", health=("127.0.0.1", 0), health_names=names), play)


def test_a_change_is_told_to_whoever_follows(network: NetworkDirectory) -> None:
    async def play(asked: Controlled) -> None:
        states = set()
        async for statuses in asked.rpc.subscribe(namespace="status"):
            states |= {status["state"] for status in statuses}
            if "running" in states:
                break

    run(network, options(network, "node1"), play)


def test_one_node_that_cannot_run_keeps_no_other_from_it(network: NetworkDirectory) -> None:
    (network.node("node1") / "node.json").write_text("torn")

    async def play(asked: Controlled) -> None:
        await asked.are_running("node2")
        await until(lambda: asked.state("node1") == "failed")

    run(network, options(network), play)


def test_whoever_started_it_is_told_when_it_listens(network: NetworkDirectory) -> None:
    reader, writer = os.pipe()

    async def play(asked: Controlled) -> None:
        assert os.read(reader, 100) == b"ready\n"

    run(network, options(network, stopped=frozenset({"node1", "node2"}), ready_descriptor=writer), play)
    os.close(reader)


def test_a_signal_ends_it_and_all_it_runs(network: NetworkDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Program] = []

    class Noted(Program):
        def __init__(self, given: Options) -> None:
            super().__init__(given)
            made.append(self)
            ending = asyncio.create_task(self._ends())
            ending.add_done_callback(lambda task: task.result())

        async def _ends(self) -> None:
            await until(lambda: all(status["state"] == "running" for status in self.status()))
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(program, "Program", Noted)
    program.run(options(network))
    assert {status["state"] for status in made[0].status()} == {"stopped"}
    assert "end engine" in (network.node("node1") / "events").read_text()


def test_two_do_not_run_the_same_nodes(network: NetworkDirectory) -> None:
    given = options(network)
    given.state.mkdir(exist_ok=True)
    with FileLock(given.state / LOCK_NAME), pytest.raises(NodeError, match="another node program runs these nodes"):
        program.run(given)


def test_an_address_for_health_that_is_taken_is_told_and_nothing_is_left(network: NetworkDirectory) -> None:
    async def taken() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        given = options(network, "node1", health=("127.0.0.1", port))
        given.state.mkdir(exist_ok=True)
        async with server:
            with pytest.raises(PortError, match=f"health endpoint: 127.0.0.1:{port}: "):
                await Program(given).run()
        assert not (given.state / INFO_NAME).exists()

    asyncio.run(taken())


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"pid": "1", "created": 0})])
def test_a_note_of_itself_that_it_did_not_write_is_told(tmp_path: Path, content: str) -> None:
    assert read_info(tmp_path) is None
    (tmp_path / INFO_NAME).write_text(content)
    with pytest.raises(CorruptFileError, match="not readable"):
        read_info(tmp_path)
