"""The manager beside a client: waited for until it answers, started again, ended; a small program stands for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from samples import endpoints_number, identity_number, spec_of

from quorumkit.errors import NodeError
from quorumkit.managers.tessera import Tessera
from quorumkit.node.companion import Companion, transaction_manager
from quorumkit.node.trouble import Troubles
from quorumkit.plan import Endpoint, plan
from quorumkit.record import NodeRecord
from quorumkit.render.node_files import record_of

PATIENCE = 60.0

STAND_IN = f"""#!{sys.executable}
import socket, sys
assert sys.argv[1:] == ["-configfile", "tm/tessera.json"]
server = socket.socket(socket.AF_UNIX)
server.bind("tm/tm.ipc")
server.listen()
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n" + open("answer", "rb").read())
    connection.close()
"""


class Log:
    """Keeps the lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        self.lines.append(text)

    def close(self) -> None:
        pass


def record(*, apart: bool) -> NodeRecord:
    spec = spec_of(
        1,
        engine={"kind": "goquorum"},
        transaction_manager={"kind": "tessera"},
        runtime="compose" if apart else "process",
    )
    endpoint = Endpoint("127.0.0.1", 24001)
    identity = replace(identity_number(1), tm_key="key")
    network = plan(spec, [identity], [replace(endpoints_number(1), tm=endpoint, tm_bind=endpoint)])
    return record_of(network, network.node(1))


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's directory, with the stand-in beside it."""
    program = tmp_path / "tessera"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(_home(tmp_path)))
    directory = tmp_path / "node1"
    (directory / "tm").mkdir(parents=True)
    (directory / "answer").write_text("I'm up!")
    return directory


def _home(tmp_path: Path) -> Path:
    java = tmp_path / "jvm/bin/java"
    java.parent.mkdir(parents=True)
    java.touch(mode=0o755)
    return tmp_path / "jvm"


@contextlib.asynccontextmanager
async def running(node: Path, log: Log, unwanted: asyncio.Event | None = None) -> AsyncIterator[Companion]:
    async with transaction_manager(
        node, record(apart=False), log, override=node.parent / "tessera", unwanted=unwanted or asyncio.Event()
    ) as companion:
        yield companion


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not check():  # noqa: ASYNC110 - it looks at a process's output
            await asyncio.sleep(0.02)


def test_it_is_ready_when_it_says_so_and_ended_with_the_block(node: Path) -> None:
    async def run() -> None:
        log = Log()
        (node / "answer").write_text("Database unavailable")

        async def recover() -> None:
            await until(lambda: "tm: listening" in log.lines)
            await asyncio.sleep(0.2)
            (node / "answer").write_text("I'm up!")

        recovering = asyncio.create_task(recover())
        async with running(node, log) as companion:
            assert recovering.done()
            assert companion.process is not None and companion.process.returncode is None
        assert companion.process.returncode == -signal.SIGTERM

    asyncio.run(run())


def test_one_that_is_killed_is_started_again_though_its_socket_is_left(node: Path) -> None:
    async def run() -> None:
        log = Log()
        async with running(node, log) as companion:
            assert companion.process is not None
            os.kill(companion.process.pid, signal.SIGKILL)
            await until(lambda: log.lines.count("tm: listening") == 2)
            assert any("the transaction manager ended with -9" in line for line in log.lines)

    asyncio.run(run())


def test_nobody_waits_for_one_that_is_not_wanted_any_more(node: Path) -> None:
    async def run() -> None:
        (node / "answer").write_text("")
        unwanted = asyncio.Event()
        asyncio.get_running_loop().call_later(0.2, unwanted.set)
        with pytest.raises(NodeError, match="stopped before"):
            async with running(node, Log(), unwanted):
                raise AssertionError

    asyncio.run(run())


def test_one_that_never_answers_is_given_up(node: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tessera, "start_patience", 0.3)
    (node / "answer").write_text("")

    async def run() -> None:
        with pytest.raises(NodeError, match=r"not ready in 0\.3 s"):
            async with running(node, Log()):
                raise AssertionError

    asyncio.run(run())


def test_one_in_a_container_of_its_own_is_waited_for_and_left_alone(node: Path) -> None:
    async def run() -> None:
        unwanted = asyncio.Event()
        waiting = transaction_manager(node, record(apart=True), Log(), unwanted=unwanted)
        entering = asyncio.create_task(waiting.__aenter__())
        await asyncio.sleep(0.2)
        assert not entering.done()
        async with running(node, Log()) as other:
            companion = await entering
            assert companion.process is None
            await waiting.__aexit__(None, None, None)
            assert other.process is not None and other.process.returncode is None

    asyncio.run(run())


def test_a_line_of_any_length_ends_no_keeper(node: Path) -> None:
    """One of 200 kB ended it for good: the manager stayed without a reader, and nobody started it again."""
    program = node.parent / "tessera"
    program.write_text(program.read_text().replace('print("listening"', 'print("x" * 200_000 + "\\nlistening"'))

    async def run() -> None:
        log = Log()
        async with running(node, log) as companion:
            await until(lambda: "tm: listening" in log.lines)
            assert companion.process is not None
            first = companion.process
            first.kill()
            await until(lambda: companion.process is not first and log.lines.count("tm: listening") == 2)

    asyncio.run(run())


def test_a_keeper_that_fails_goes_on_and_says_so(node: Path) -> None:
    told: list[str | None] = []
    (node / "tm/tm.ipc").mkdir()

    async def run() -> None:
        log = Log()
        manager = transaction_manager(
            node, record(apart=False), log, override=node.parent / "tessera", unwanted=asyncio.Event(),
            troubles=Troubles(log, told.append),
        )  # fmt: skip

        async def make_room() -> None:
            await until(lambda: told)
            (node / "tm/tm.ipc").rmdir()

        making = asyncio.create_task(make_room())
        async with manager as companion:
            assert making.done()
            assert companion.process is not None
        assert any("Traceback" in line for line in log.lines)

    asyncio.run(run())
    assert "the care of its transaction manager: " in str(told[0])


def test_one_that_ends_again_and_again_is_given_up_with_its_own_words(node: Path) -> None:
    (node.parent / "tessera").write_text("#!/bin/sh\necho Error: tm/tm.conf: port: is taken\nexit 2\n")

    async def run() -> None:
        with pytest.raises(NodeError, match=r"ends before it is ready: tm/tm\.conf: port: is taken"):
            async with running(node, Log()):
                raise AssertionError

    asyncio.run(run())
