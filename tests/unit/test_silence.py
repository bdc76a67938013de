"""A client that lives and answers no more is ended and started again; one that is only slow or stopped is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil
import pytest
from samples import endpoints_number, identity_number, planned, spec_of

from quorumkit.engines import recipe_of
from quorumkit.node import restarts, silence
from quorumkit.node.chain import Genesis
from quorumkit.node.group import Group
from quorumkit.node.log import StandardOutput
from quorumkit.node.node import Node
from quorumkit.node.preparing import Prepared
from quorumkit.node.silence import LOOK_EVERY, MOST_LATE, Waiting, falls_silent
from quorumkit.node.status import State
from quorumkit.node.trouble import Troubles
from quorumkit.plan import plan
from quorumkit.process_spec import LoggedLine, ProcessSpec, SignOfLife, client_of
from quorumkit.record import NodeRecord
from quorumkit.render.node_files import record_of
from support.logs import Log, until


class Looks:
    """At one question, so many seconds apart; what counts after them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waiting = Waiting(self.now)

    def __call__(self, *paces: float, stopped: bool = False) -> float:
        for pace in paces:
            self.now += pace
            counted = self.waiting.look(self.now, stopped=stopped)
        return counted


def test_time_counts_while_the_looks_are_on_time() -> None:
    looks = Looks()
    assert looks(*[LOOK_EVERY] * 120) == 120 * LOOK_EVERY
    assert looks(LOOK_EVERY + MOST_LATE) == 121 * LOOK_EVERY + MOST_LATE


def test_time_in_which_the_machine_was_busy_or_asleep_does_not_count() -> None:
    assert Looks()(*[LOOK_EVERY + 2 * MOST_LATE] * 1000) == 0
    assert Looks()(LOOK_EVERY, 3600.0, LOOK_EVERY) == 2 * LOOK_EVERY


def test_one_that_was_stopped_has_all_its_time_again_when_it_goes_on() -> None:
    looks = Looks()
    assert looks(*[LOOK_EVERY] * 100) == 100 * LOOK_EVERY
    assert looks(*[LOOK_EVERY] * 1000, stopped=True) == 0
    assert looks(LOOK_EVERY) == LOOK_EVERY


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "ASK_EVERY", 0.01)
    monkeypatch.setattr(silence, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(silence, "SILENT_AFTER", 0.2)
    monkeypatch.setattr(silence, "ENDS_WITHIN", 0.2)
    monkeypatch.setattr(restarts, "FIRST_DELAY", 0.01)


# Answers so often and never again, and then does not heed SIGTERM either, as one that hangs.
CLIENT = """
import json, os, signal, socketserver, sys
answers = int(sys.argv[1])
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        global answers
        for line in self.rfile:
            question = json.loads(line)
            if question["method"] == "eth_blockNumber":
                answers -= 1
            if answers >= 0:
                answer = {"id": question["id"], "error": {"message": "not now"}}
                self.wfile.write(json.dumps(answer).encode() + b"\\n")
class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: answers < 0 or os._exit(0))
if os.path.exists("data/geth.ipc"):
    os.unlink("data/geth.ipc")
with Server("data/geth.ipc", Handler) as server:
    print("IPC endpoint opened", flush=True)
    server.serve_forever()
"""


SIGN = SignOfLife(Path("data/geth.ipc"), "eth_blockNumber")


@contextlib.asynccontextmanager
async def client(directory: Path, answers: int) -> AsyncIterator[asyncio.subprocess.Process]:
    (directory / "data").mkdir(exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CLIENT, str(answers), cwd=directory, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await process.stdout.readline()
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def is_silent(directory: Path, process: asyncio.subprocess.Process, within: float) -> bool:
    try:
        async with asyncio.timeout(within):
            await falls_silent(directory, SIGN, process.pid)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize(
    ("answers", "silent"), [(3, True), (10**9, False), pytest.param(0, False, id="one that has not answered yet")]
)
@pytest.mark.usefixtures("quick")
def test_one_that_answered_and_answers_no_more_is_silent(tmp_path: Path, answers: int, silent: bool) -> None:
    async def play() -> None:
        async with client(tmp_path, answers) as process:
            assert await is_silent(tmp_path, process, 15 if silent else 1) is silent

    asyncio.run(play())


@pytest.mark.parametrize("silent", [True, False])
@pytest.mark.usefixtures("quick")
def test_one_that_is_asked_by_http_falls_silent_too(tmp_path: Path, silent: bool) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if silent and len(asked) > 2:
                await reader.read()
            else:
                writer.write(b"HTTP/1.0 500 Not now\r\n\r\n")
            writer.close()

    async def play() -> None:
        sign = SignOfLife(Path("rpc.sock"), "health", is_http=True)
        async with await asyncio.start_unix_server(serve, tmp_path / "rpc.sock"):
            fell = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(15 if silent else 1):
                    await falls_silent(tmp_path, sign, os.getpid())
                    fell = True
            assert fell is silent

    asyncio.run(play())
    assert len(asked) >= 3
    assert asked[0].startswith(b"GET /health HTTP/1.0\r\n")


@pytest.mark.usefixtures("quick")
def test_where_nobody_listens_nobody_is_silent(tmp_path: Path) -> None:
    async def play() -> None:
        async with client(tmp_path, 3) as process:
            (tmp_path / "data/geth.ipc").unlink()
            assert not await is_silent(tmp_path, process, 1)

    asyncio.run(play())


def asked_of(kind: str, record: NodeRecord) -> str:
    sign = client_of(recipe_of(kind, record.consensus.kind).processes(Path("client"), record)).sign_of_life
    assert sign is not None
    return sign.method


def test_rafts_own_lock_is_asked_for_where_there_is_a_raft() -> None:
    network = planned(spec_of(1))
    record = record_of(network, network.node(1))
    goquorum = spec_of(1, engine={"kind": "goquorum"}, consensus={"kind": "raft"})
    endpoints = replace(endpoints_number(1), ports={"raft": 27001})
    raft = plan(goquorum, [identity_number(1)], [endpoints])
    assert asked_of("geth", record) == "eth_blockNumber"
    assert asked_of("goquorum", record) == "eth_blockNumber"
    assert asked_of("goquorum", record_of(raft, raft.node(1))) == "raft_leader"


class Watched(Node):
    """Everything about it is real but the client, which goes silent after it was asked so many times, and its files."""

    answers = 5

    def load(self) -> None:
        network = planned(spec_of(1))
        self._record = record_of(network, network.node(1))
        self.status.describe(self._record)

    async def _prepare(self) -> Prepared:
        client = client_of(recipe_of("geth", "clique").processes(Path("geth"), self.record))
        command = (sys.executable, "-c", CLIENT, str(self.answers))
        genesis = Genesis(self.directory / "genesis.json", "", None)
        return Prepared([replace(client, argv=command)], genesis, client=client.name)


def run(directory: Path, play: Callable[[Watched, list[tuple[State, str | None]]], Awaitable[None]]) -> None:
    (directory / "data").mkdir()

    async def both() -> None:
        told: list[tuple[State, str | None]] = []
        node = Watched(
            directory,
            override=None,
            log=StandardOutput(""),
            changed=lambda: told.append((node.status.state, node.status.error)),
        )
        running = asyncio.create_task(node.run())
        try:
            async with asyncio.timeout(30):
                await play(node, told)
        finally:
            await node.stop()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running

    asyncio.run(both())


@pytest.mark.usefixtures("quick")
def test_a_silent_client_is_ended_and_started_again_with_its_reason_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play(node: Watched, told: list[tuple[State, str | None]]) -> None:
        deaths: list[tuple[float, float]] = []
        died = node._restarts.died

        def heard(*, ran_for: float, was_ready: bool) -> float:
            deaths.append((time.monotonic(), ran_for))
            return died(ran_for=ran_for, was_ready=was_ready)

        node._restarts.died = heard  # type: ignore[method-assign]
        began = time.monotonic()
        node.start()
        await until(lambda: node.status.pid)
        first = node.status.pid
        assert first is not None
        node.answers = 10**9  # the next
        await until(lambda: node.status.pid and node.status.pid != first)
        assert not psutil.pid_exists(first)
        assert ("restarting", "its client had not answered for 0.2 s") in told
        [(ended, ran_for)] = deaths
        assert ran_for <= ended - began - silence.SILENT_AFTER  # the silence is no part of it

    run(tmp_path, play)
    said = capsys.readouterr().out
    assert "its client had not answered for 0.2 s: it is ended" in said
    assert "did not end in 0.2 s and is killed" in said


def has_died(node: Watched, times: int) -> bool:
    return node.status.restarts == times


@pytest.mark.usefixtures("quick")
def test_clients_that_fall_silent_again_and_again_wait_ever_longer(tmp_path: Path) -> None:
    async def play(node: Watched, told: list[tuple[State, str | None]]) -> None:
        node.start()
        for deaths in range(4):
            await until(lambda: node.status.pid)
            node._state._was_ready = True  # which makes any other death begin at the shortest delay again
            await until(partial(has_died, node, deaths + 1))
        assert node._restarts._backoff.pause >= 0.01 * 2**4
        assert node.status.state == "failed"
        assert node.status.error == "its client had not answered for 0.2 s"

    run(tmp_path, play)


@pytest.mark.usefixtures("quick")
def test_a_client_that_somebody_stopped_is_not_ended(tmp_path: Path) -> None:
    async def play(node: Watched, told: list[tuple[State, str | None]]) -> None:
        node.answers = 10**9
        node.start()
        await until(lambda: node.status.pid)
        pid = node.status.pid
        assert pid is not None
        await asyncio.sleep(0.1)
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(1)
            assert node.status.pid == pid
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(0.3)
        assert node.status.pid == pid

    run(tmp_path, play)


@pytest.mark.usefixtures("quick")
def test_a_silent_process_that_is_started_again_by_itself_leaves_its_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restarts, "ALONE_FIRST_DELAY", 0.01)
    (tmp_path / "data").mkdir()
    spec = ProcessSpec(
        "one", (sys.executable, "-c", CLIENT, "3"), ready=LoggedLine("IPC endpoint opened".__eq__), starts_alone=True,
        sign_of_life=SignOfLife(Path("data/geth.ipc"), "eth_blockNumber"),
    )  # fmt: skip
    log = Log()

    async def play() -> None:
        group = Group([spec], tmp_path, log, Troubles(log, lambda _: None), main="client")
        life = asyncio.create_task(group.run())
        await until(lambda: log.lines.count("IPC endpoint opened") == 3)
        assert not life.done()
        group.stop()
        assert (await life).silent_since is None

    asyncio.run(play())
    assert "its one had not answered for 0.2 s: it is ended" in log
