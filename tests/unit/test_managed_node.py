"""A node that is told to stop, start and wait, with a client that is only a sleeping program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from samples import planned, spec_of

from quorumkit.engines import Standing, recipe_of
from quorumkit.errors import NodeError
from quorumkit.node import restarts
from quorumkit.node.admission import ADMISSION
from quorumkit.node.chain import Genesis
from quorumkit.node.log import StandardOutput
from quorumkit.node.node import Node
from quorumkit.node.noise import NoiseFilter
from quorumkit.node.preparing import Prepared
from quorumkit.node.room import with_room_named
from quorumkit.process_spec import LoggedLine, ProcessSpec, client_of
from quorumkit.render.node_files import record_of
from support import fake_engine
from support.logs import until

SLOW_TO_END = "trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.02; done"


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_engine.register(monkeypatch)


class Sleeper(Node):
    """Everything about it is real but the client and its files."""

    newcomer = False
    starts = 0
    admission: str | None = None

    def load(self) -> None:
        network = planned(spec_of(1, 1, engine={"kind": fake_engine.KIND}))  # whose observers are admitted
        self._record = record_of(network, network.node(2 if self.newcomer else 1))
        self.status.describe(self._record)

    async def _prepare(self) -> Prepared:
        self.starts += 1
        self.admission = self._admission.read()
        genesis = Genesis(self.directory / "genesis.json", "", None)
        client = ProcessSpec("client", ("/bin/sh", "-c", SLOW_TO_END), ready=LoggedLine(lambda line: False))
        return Prepared([client], genesis, client="client")

    @property
    def pid(self) -> int | None:
        return self.status.pid

    def kill(self) -> None:
        assert self.pid is not None
        os.kill(self.pid, signal.SIGKILL)


def run(directory: Path, play: Callable[[Sleeper], Awaitable[None]]) -> None:
    async def both() -> None:
        node = Sleeper(directory, override=None, log=StandardOutput(""), changed=lambda: None)
        running = asyncio.create_task(node.run())
        try:
            async with asyncio.timeout(20):
                await play(node)
        finally:
            await node.stop()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(both())


def test_a_stop_returns_although_a_start_comes_while_the_client_ends(tmp_path: Path) -> None:
    async def play(node: Sleeper) -> None:
        node.start()
        await until(lambda: node.pid)
        first = node.pid
        stopping = asyncio.create_task(node.stop())
        await asyncio.sleep(0.05)
        node.start()
        async with asyncio.timeout(5):
            await stopping
        await until(lambda: node.pid and node.pid != first)
        assert node.status.restarts == 0  # it was told to: no death

    run(tmp_path, play)


def test_two_stops_and_a_start_end_with_a_client_that_runs(tmp_path: Path) -> None:
    async def play(node: Sleeper) -> None:
        node.start()
        await until(lambda: node.pid)
        stops = [asyncio.create_task(node.stop()) for _ in range(2)]
        await asyncio.sleep(0.05)
        node.start()
        await asyncio.gather(*stops)
        await until(lambda: node.pid)

    run(tmp_path, play)


def test_a_stop_in_the_moment_of_the_start_is_heeded(tmp_path: Path) -> None:
    async def play(node: Sleeper) -> None:
        for pause in (0, 0, 0.001, 0.002, 0.005):
            node.start()
            await asyncio.sleep(pause)
            async with asyncio.timeout(5):
                await node.stop()
            assert node.pid is None and node.status.state == "stopped"

    run(tmp_path, play)


def test_a_stop_before_the_node_program_turns_to_the_node_is_heeded(tmp_path: Path) -> None:
    async def both() -> None:
        node = Sleeper(tmp_path, override=None, log=StandardOutput(""), changed=lambda: None)
        node.start()
        running = asyncio.create_task(node.run())
        async with asyncio.timeout(5):
            await node.stop()
        running.cancel()
        assert node.starts == 0

    asyncio.run(both())


def test_a_client_that_dies_is_a_death_also_after_a_stop_and_a_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.01)

    async def play(node: Sleeper) -> None:
        node.start()
        await until(lambda: node.pid)
        await node.stop()
        await node.stop()  # it is stopped already
        node.start()
        await until(lambda: node.pid)
        node.kill()
        await until(lambda: node.status.restarts == 1)
        await until(lambda: node.pid)

    run(tmp_path, play)


def died_often(node: Sleeper, times: int) -> bool:
    return node.status.restarts == times


def test_a_client_that_was_in_step_with_its_peers_is_started_again_at_once_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(restarts, "LONGEST_DELAY", 1000.0)

    async def play(node: Sleeper) -> None:
        node.start()
        for deaths in range(10):  # twice as long each time, that would be 10 s in the end
            await until(lambda: node.pid)
            node._state.account_opened()
            node._state.stand(Standing(validates=True, validators=1))
            node._state.see_head(1, "0x01")
            node._state._first_block = 0
            node._state.see_head(2, "0x02")
            assert node.status.ready
            node.kill()
            await until(partial(died_often, node, deaths + 1))
            assert node.status.state != "failed"

    run(tmp_path, play)


def test_a_node_that_needs_admission_waits_for_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sleeper, "newcomer", True)

    async def play(node: Sleeper) -> None:
        node.start()
        await until(lambda: node.status.state == "admitting")
        await node.stop()  # while it waits
        assert node.status.state == "stopped"
        node.start()
        await until(lambda: node.status.state == "admitting")
        node.admitted("4")
        await until(lambda: node.pid)
        assert node.admission == "4"
        await node.stop()
        node.start()
        await until(lambda: node.pid)
        assert node.admission == "4"

    run(tmp_path, play)
    assert (tmp_path / ADMISSION).read_text() == "4\n"


class Failing(Sleeper):
    """Cannot be prepared until it is mended."""

    mended = False

    async def _prepare(self) -> Prepared:
        if not self.mended:
            raise NodeError("write data/geth/LOCK: no space left on device")
        return await super()._prepare()


def test_a_start_tries_a_failed_node_at_once_and_its_old_error_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited for its next try, and `up` told the old error again although there was room by then."""
    monkeypatch.setattr(restarts, "LONGEST_DELAY", 1000.0)

    async def run() -> None:
        node = Failing(tmp_path, override=None, log=StandardOutput(""), changed=lambda: None)
        running = asyncio.create_task(node.run())
        async with asyncio.timeout(20):
            node.start()
            await until(lambda: node.status.state == "failed")
            assert f"{tmp_path}: no room on the disk: write data/geth/LOCK" in (node.status.error or "")
            node._restarts._backoff.pause = 500.0
            await until(lambda: node._restarts._backoff.pause == 1000.0)
            node.mended = True
            node.start()
            assert (node.status.state, node.status.error) == ("starting", None)
            await until(lambda: node.pid)
            await node.stop()
        running.cancel()

    asyncio.run(run())


def test_lines_that_say_nothing_are_told_once_and_counted() -> None:
    network = planned(spec_of(1))
    record = record_of(network, network.node(1))
    noise = NoiseFilter(client_of(recipe_of("geth", "clique").processes(Path("geth"), record)).noise)
    often = (
        'WARN [11-25|13:29:54.031] Block sealing failed                     err="signed recently, must wait for others"'
    )
    other = 'WARN [11-25|13:29:54.031] Block sealing failed                     err="authentication needed: password"'
    assert [noise.is_one(line) for line in (often, other, often, often, often + " and more")] == [
        *(False, False, True, True, False)
    ]
    assert noise.left_out == 2
    assert not NoiseFilter(None).is_one(often)


@pytest.mark.parametrize(
    ("reason", "free", "told"),
    [
        ("exit code 0", 2**30, False),
        ("exit code 0", 100, True),
        ("write x: no space left on device", 2**30, True),
        ("Disk quota exceeded", 2**30, True),
    ],
)
def test_a_disk_without_room_is_named(reason: str, free: int, told: bool) -> None:
    text = with_room_named(reason, Path("/bank/node1"), free)
    assert text.startswith("/bank/node1: no room on the disk: ") is told
    assert reason in text


def test_a_client_that_ends_itself_for_want_of_room_says_so() -> None:
    line = (
        "ERROR[11-25|13:35:58.014] Low disk space. Gracefully shutting down Geth to prevent database corruption. "
        "available=360.00KiB path=/x/node1/data/geth"
    )
    assert recipe_of("geth", "clique").why_it_ends(line) == (
        "low disk space, and the client ends itself with so little left (360.00KiB)"
    )
