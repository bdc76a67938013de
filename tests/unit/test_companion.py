"""The manager beside a client: waited for until it answers, started again, ended; a small program stands for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from quorumkit.errors import NodeError
from quorumkit.managers.tessera import Tessera
from quorumkit.node.group import Group
from quorumkit.node.process import Process
from quorumkit.node.trouble import Troubles
from support.logs import Log, until

PATIENCE = 60.0
TESSERA = Tessera()

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
async def running(
    node: Path, log: Log, unwanted: asyncio.Event | None = None, *, apart: bool = False,
    told: Callable[[str | None], None] = lambda _: None,
) -> AsyncIterator[Process]:  # fmt: skip
    """A group of the manager alone, once it is ready and until the block ends."""
    program = None if apart else TESSERA.find(override=node.parent / "tessera")
    group = Group([TESSERA.process(program, apart=apart)], node, log, Troubles(log, told), main="client")
    life = asyncio.create_task(group.run())
    waits = [life, asyncio.create_task(group["tm"].ready.wait())]
    if unwanted is not None:
        unwanting = asyncio.create_task(unwanted.wait())
        unwanting.add_done_callback(lambda _: group.stop())
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            raise NodeError(life.result().reason)
        manager = group["tm"]
        assert isinstance(manager, Process)
        yield manager
    finally:
        group.stop()
        await asyncio.wait(waits[:1])


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
            assert companion.pid is not None and companion.returncode is None
        assert companion.returncode == -signal.SIGTERM

    asyncio.run(run())


def test_one_that_is_killed_is_started_again_though_its_socket_is_left(node: Path) -> None:
    async def run() -> None:
        log = Log()
        async with running(node, log) as companion:
            assert companion.pid is not None
            os.kill(companion.pid, signal.SIGKILL)
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
    monkeypatch.setattr(Tessera, "ready_within", 0.3)
    (node / "answer").write_text("")

    async def run() -> None:
        with pytest.raises(NodeError, match=r"not ready in 0\.3 s"):
            async with running(node, Log()):
                raise AssertionError

    asyncio.run(run())


def test_one_in_a_container_of_its_own_is_waited_for_and_left_alone(node: Path) -> None:
    async def run() -> None:
        waiting = running(node, Log(), apart=True)
        entering = asyncio.create_task(waiting.__aenter__())
        await asyncio.sleep(0.2)
        assert not entering.done()
        async with running(node, Log()) as other:
            companion = await entering
            assert companion.pid is None
            await waiting.__aexit__(None, None, None)
            assert other.pid is not None and other.returncode is None

    asyncio.run(run())


def test_a_line_of_any_length_ends_no_keeper(node: Path) -> None:
    """One of 200 kB ended it for good: the manager stayed without a reader, and nobody started it again."""
    program = node.parent / "tessera"
    program.write_text(program.read_text().replace('print("listening"', 'print("x" * 200_000 + "\\nlistening"'))

    async def run() -> None:
        log = Log()
        async with running(node, log) as companion:
            await until(lambda: "tm: listening" in log.lines)
            first = companion.pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            await until(lambda: companion.pid != first and log.lines.count("tm: listening") == 2)

    asyncio.run(run())


def test_a_keeper_that_fails_goes_on_and_says_so(node: Path) -> None:
    told: list[str | None] = []
    (node / "tm/tm.ipc").mkdir()

    async def run() -> None:
        log = Log()
        manager = running(node, log, told=told.append)

        async def make_room() -> None:
            await until(lambda: told)
            (node / "tm/tm.ipc").rmdir()

        making = asyncio.create_task(make_room())
        async with manager as companion:
            assert making.done()
            assert companion.pid is not None
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
