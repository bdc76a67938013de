"""One node of three processes, from its files to running and back, with the fake engine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import endpoints_number, fixed_addresses, identity_number, spec_of

from quorumkit.addresses import Endpoint
from quorumkit.directory import NetworkDirectory
from quorumkit.errors import RpcError
from quorumkit.identities.generated import generate
from quorumkit.node import restarts, trouble
from quorumkit.node.chain import read_genesis
from quorumkit.node.node import Node
from quorumkit.node.preparing import beside_client
from quorumkit.plan import plan
from quorumkit.progress import silent
from quorumkit.record import RECORD_NAME
from quorumkit.render.node_files import record_of
from support import fake_engine
from support.fake_engine import acquire, driver
from support.fake_engine.recipe import RECIPE
from support.logs import Log, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine.register(monkeypatch)
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(restarts, "ALONE_FIRST_DELAY", 0.01)
    monkeypatch.setattr(trouble, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(trouble, "WELL_AFTER", 0.2)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Of a validator that is alone."""
    return made(tmp_path, 1).node("node1")


def made(tmp_path: Path, validators: int, observers: int = 0) -> NetworkDirectory:
    network = NetworkDirectory(tmp_path / "bank")
    generate(network, spec_of(validators, observers, engine={"kind": fake_engine.KIND}), fixed_addresses, silent)
    return network


class Cared:
    """A node that runs, and what it told."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.log = Log()
        self.states: list[str] = []
        self.node = Node(directory, override=None, log=self.log, changed=self._changed, **options)

    def _changed(self) -> None:
        state = self.node.status.state
        if self.states[-1:] != [state]:
            self.states.append(state)

    @property
    def events(self) -> list[str]:
        """Of its processes."""
        return [event for event in self.all_events if "signer" not in event]

    @property
    def all_events(self) -> list[str]:
        return (self.node.directory / "events").read_text().splitlines()

    def kill(self, name: str) -> None:
        os.kill(self.node.status.processes[name], signal.SIGKILL)

    async def is_running(self) -> None:
        await until(lambda: self.node.status.ready)


def run(directory: Path, play: Callable[[Cared], Awaitable[None]]) -> Cared:
    cared = Cared(directory)

    async def both() -> None:
        running = asyncio.create_task(cared.node.run())
        try:
            async with asyncio.timeout(40):
                await play(cared)
        finally:
            await cared.node.stop()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            assert cared.node.status.processes == {}

    asyncio.run(both())
    return cared


def test_it_is_made_from_the_genesis_runs_and_stops(directory: Path) -> None:
    async def play(cared: Cared) -> None:
        cared.node.start()
        await cared.is_running()
        status = cared.node.status
        assert set(status.processes) == {"engine", "store", "client"}
        assert status.pid == status.processes["client"]
        assert (status.role, status.peers, status.block_hash) == ("validator", 0, hex(status.block or 0))

    cared = run(directory, play)
    assert cared.states == ["starting", "syncing", "running", "stopped"]
    assert cared.events == [f"start {name}" for name in ("engine", "store", "client")] + [
        f"end {name}" for name in ("client", "store", "engine")
    ]
    assert (directory / "data/chain").read_bytes() == (directory.parent.parent / "genesis.json").read_bytes()


@pytest.mark.parametrize(("name", "reason"), [("client", "killed by SIGKILL"), ("engine", "its engine: killed by")])
def test_one_that_the_others_need_takes_all_down_and_all_start_again(directory: Path, name: str, reason: str) -> None:
    async def play(cared: Cared) -> None:
        cared.node.start()
        await cared.is_running()
        before = cared.node.status.processes
        cared.kill(name)
        await until(lambda: cared.node.status.restarts == 1)
        await cared.is_running()
        assert before.items().isdisjoint(cared.node.status.processes.items())

    cared = run(directory, play)
    assert f"node1 ended: {reason}" in cared.log
    assert cared.states[3:6] == ["restarting", "starting", "syncing"]


def test_one_that_starts_alone_leaves_the_node_running(directory: Path) -> None:
    async def play(cared: Cared) -> None:
        cared.node.start()
        await cared.is_running()
        before = dict(cared.node.status.processes)
        cared.kill("store")
        await until(lambda: cared.node.status.processes.get("store") not in (None, before["store"]))
        assert (cared.node.status.restarts, cared.node.status.pid) == (0, before["client"])

    run(directory, play)


def test_one_that_dies_each_time_makes_a_failed_node_that_runs_once_it_is_mended(directory: Path) -> None:
    (directory / "store.does").write_text("dies")

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "failed")
        assert cared.node.status.error == ("the store ends before it is ready: it dies (its lines in the log say why)")
        (directory / "store.does").unlink()
        await cared.is_running()
        assert cared.node.status.error is None

    run(directory, play)


def test_a_stop_while_a_process_is_not_ready_yet_is_heeded(directory: Path) -> None:
    (directory / "engine.does").write_text("unready")

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: "engine: hello" in cared.log)
        async with asyncio.timeout(5):
            await cared.node.stop()
        assert (cared.node.status.state, cared.node.status.error) == ("stopped", None)

    assert run(directory, play).events == ["start engine", "end engine"]


def test_files_written_again_reach_processes_and_driver(tmp_path: Path) -> None:
    network = made(tmp_path, 2)
    directory = network.node("node1")

    async def play(cared: Cared) -> None:
        cared.node.start()
        await cared.is_running()
        assert cared.node.status.peers == 1
        record = cared.node.record
        alone = record.model_copy(update={"peers": ()})
        (directory / RECORD_NAME).write_text(alone.model_dump_json())
        cared.node.reload()
        await until(lambda: cared.node.status.peers == 0)
        await until(lambda: len([event for event in cared.events if event.startswith("reload")]) == 3)
        (directory / RECORD_NAME).write_text("torn")
        cared.node.reload()  # it goes on with what it has
        assert cared.node.record == alone

    run(directory, play)


def test_a_node_that_is_to_be_admitted_waits_for_it_and_tells_its_client(tmp_path: Path) -> None:
    network = made(tmp_path, 1, 1)

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "admitting")
        assert cared.node.needs_admission()
        assert cared.node.status.error == "waits until a member takes it in: `quorumkit up` asks them"
        cared.node.admitted(await admitted_by(network.node("node1"), str(cared.node.record.node.enode)))
        await cared.is_running()
        assert not cared.node.needs_admission()

    run(network.node("node2"), play)


async def admitted_by(directory: Path, enode: str) -> str:
    member = Cared(directory)
    running = asyncio.create_task(member.node.run())
    member.node.start()
    try:
        await member.is_running()
        return await member.node.admit(enode)
    finally:
        await member.node.stop()
        running.cancel()


class Locked:
    """A gate."""

    def __init__(self) -> None:
        self.locked = asyncio.Event()


def test_a_node_waits_at_its_gate_and_tells_for_whom(directory: Path) -> None:
    async def play(cared: Cared) -> None:
        gate = cared.node.gate = Locked()
        cared.node.set_waiting("not wanted yet")
        assert cared.node.status.error is None
        cared.node.start()
        await asyncio.sleep(0)
        cared.node.set_waiting("waits for node2")
        assert cared.node.status.line() == "node1: exchanging, block -, 0 of 0 peers; waits for node2"
        await cared.node.stop()
        cared.node.start()
        gate.locked.set()
        await cared.is_running()
        cared.node.set_waiting("late")
        assert cared.node.status.error is None

    run(directory, play)


def test_a_driver_that_refuses_has_the_node_ended_and_its_reason_told(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(self: driver.FakeCare, rpc: object) -> None:
        self._report.say("WARN", "wrong password")
        self._report.refuse("the password is wrong")
        await asyncio.Event().wait()

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "failed")
        assert cared.node.status.error == "the password is wrong"

    monkeypatch.setattr(driver.FakeCare, "attend", refuses)
    assert "WARN" in run(directory, play).log


def test_a_watch_that_fails_ends_nothing_and_is_begun_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attend, calls = driver.FakeCare.attend, 0

    async def fails_first(self: driver.FakeCare, rpc: Any) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise ValueError("nobody thought of this")
        await attend(self, rpc)

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.trouble)
        assert cared.node.status.trouble == "the watch over its client: ValueError: nobody thought of this"
        await cared.is_running()
        await until(lambda: cared.node.status.trouble is None)
        assert (cared.node.status.restarts, calls) == (0, 3)

    monkeypatch.setattr(driver.FakeCare, "attend", fails_first)
    assert any("Traceback" in line for line in run(directory, play).log.lines)


def test_a_connection_that_ends_while_the_client_lives_is_made_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend, calls = driver.FakeCare.attend, 0
    monkeypatch.setattr("quorumkit.node.watch._AGAIN_AFTER", 0.01)

    async def ends_first(self: driver.FakeCare, rpc: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            await attend(self, rpc)

    async def play(cared: Cared) -> None:
        cared.node.start()
        await cared.is_running()
        assert (cared.node.status.restarts, calls) == (0, 2)

    monkeypatch.setattr(driver.FakeCare, "attend", ends_first)
    run(directory, play)


def test_a_client_on_another_chain_is_ended_before_it_is_cared_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genesis = replace(read_genesis(directory), block_hash="0x12")
    monkeypatch.setattr("quorumkit.node.preparing.read_genesis", lambda _: genesis)
    connect = driver.FakeDriver.connect

    async def connected(self: driver.FakeDriver, *where: Any) -> Any:
        rpc: Any = await connect(self, *where)
        ask = rpc.call

        async def call(method: str, *params: Any) -> Any:
            return {"hash": "0x34"} if method == "eth_getBlockByNumber" else await ask(method, *params)

        rpc.call = call
        return rpc

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "failed")
        assert "node1: its client is on another chain: block 0 is 0x34" in (cared.node.status.error or "")
        assert cared.node.status.block is None

    monkeypatch.setattr(driver.FakeDriver, "connect", connected)
    run(directory, play)


def test_what_is_missing_is_told_and_taken_once_it_is_there(directory: Path) -> None:
    (directory / RECORD_NAME).rename(directory / "kept")

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "failed")
        assert "node.json: there is no such file" in (cared.node.status.error or "")
        assert cared.node.host_names == frozenset()
        (directory / "kept").rename(directory / RECORD_NAME)
        cared.node.start()
        await cared.is_running()
        assert "127.0.0.1" in cared.node.host_names

    run(directory, play)


def test_a_directory_that_cannot_be_read_is_told(directory: Path) -> None:
    (directory / "admission").mkdir()
    (directory / "client.does").mkdir()

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "failed")
        assert cared.node.status.error == f"{directory}/admission: Is a directory"

    run(directory, play)


def test_a_node_whose_client_does_not_run_admits_nobody(directory: Path) -> None:
    async def ask() -> None:
        node = Cared(directory).node
        node.load()
        with pytest.raises(RpcError, match="node1: not reachable over its socket"):
            await node.admit("enode://")

    asyncio.run(ask())


def test_a_binary_that_is_not_there_yet_is_told_with_a_way_out(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acquire.FakeAcquirer, "find", lambda *_, **__: None)

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: cared.node.status.state == "failed")
        assert "fake 1.0.0 is not there yet (`quorumkit up` builds it" in (cared.node.status.error or "")

    run(directory, play)


@pytest.mark.parametrize("apart", [False, True])
def test_a_transaction_manager_is_one_more_process_of_the_group(apart: bool, tmp_path: Path) -> None:
    """In a container of its own it is only waited for."""
    spec = spec_of(1, engine={"kind": "goquorum"}, transaction_manager={"kind": "builtin"})
    at = Endpoint("127.0.0.1", 24001)
    network = plan(spec, [replace(identity_number(1), tm_key="key")], [replace(endpoints_number(1), tm=at, tm_bind=at)])
    record = record_of(network, network.node(1))
    assert record.tm is not None
    record = record.model_copy(update={"tm": record.tm.model_copy(update={"apart": apart})})
    (manager,) = beside_client(record, tmp_path, override=None)
    assert (manager.name, manager.is_elsewhere, manager.starts_alone) == ("tm", apart, True)
    assert beside_client(record.model_copy(update={"tm": None}), tmp_path, override=None) == []


def test_a_task_that_wants_a_new_start_gets_it_at_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no death is counted."""
    monkeypatch.setattr(restarts, "FIRST_DELAY", 1000.0)
    (directory / "signer.does").write_text("restarts")

    async def play(cared: Cared) -> None:
        cared.node.start()
        await cared.is_running()
        assert cared.node.status.restarts == 0
        assert cared.node.status.figures == {"answers": 42}

    cared = run(directory, play)
    assert cared.all_events.count("start signer") == 2
    assert "node1 starts again: its signer: it must begin anew" in cared.log
    assert cared.node.status.figures == {}


def test_a_stop_ends_what_makes_the_chain(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["/bin/sh", "-c", "echo begun; exec sleep 300"]
    monkeypatch.setattr(RECIPE, "setup_commands", lambda *_: [command], raising=False)

    async def play(cared: Cared) -> None:
        cared.node.start()
        await until(lambda: "begun" in cared.log)
        async with asyncio.timeout(4):
            await cared.node.stop()
        assert cared.node.status.state == "stopped"

    assert "failed" not in run(directory, play).states
    assert not (directory / "events").exists()
