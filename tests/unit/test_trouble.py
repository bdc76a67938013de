"""Nothing that goes wrong in the care of one node, one manager or one log line ends the node program."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorumkit.errors import NodeError
from quorumkit.node import lines, trouble
from quorumkit.node.lines import lines_of
from quorumkit.node.log import RotatedFile, StandardOutput, Unfailing
from quorumkit.node.node import Node
from quorumkit.node.program import Options, Program
from quorumkit.node.trouble import Troubles, kept_up
from support.logs import Log, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(trouble, "WELL_AFTER", 0.05)


def test_what_fails_is_told_and_done_again_until_it_goes_well() -> None:
    async def run() -> None:
        log, told = Log(), list[str | None]()
        troubles = Troubles(log, told.append)
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise ValueError("a\x1b[2J\nb")

        await kept_up(work, "the care of peer 7", troubles)
        assert tries == 3
        assert told == ["the care of peer 7: ValueError: a?[2J b", None]
        assert sum("Traceback" in line for line in log.lines) == 2
        assert all(line.isprintable() for line in log.lines)

    asyncio.run(run())


def test_a_trouble_is_over_once_it_has_gone_well_for_a_while() -> None:
    async def run() -> None:
        told: list[str | None] = []
        tries = 0

        async def work() -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise ValueError("x")
            await asyncio.Event().wait()

        task = asyncio.create_task(kept_up(work, "it", Troubles(Log(), told.append)))
        await until(lambda: told == ["it: ValueError: x", None])
        assert not task.done()
        task.cancel()

    asyncio.run(run())


def test_several_troubles_are_told_together() -> None:
    told: list[str | None] = []
    troubles = Troubles(Log(), told.append)
    troubles.note("a", "x")
    troubles.note("b", "y")
    troubles.note("b", "y")
    troubles.note("a", None)
    troubles.note("b", None)
    assert told == ["a: x", "a: x; b: y", "b: y", None]


def split(content: bytes, chunk: int) -> list[str]:
    async def run() -> list[str]:
        reader = asyncio.StreamReader()
        for start in range(0, len(content), chunk):
            reader.feed_data(content[start : start + chunk])
        reader.feed_eof()
        return [line async for line in lines_of(reader)]

    return asyncio.run(run())


@given(st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=8), st.integers(1, 50))
def test_lines_are_the_same_in_whatever_pieces_they_come(parts: list[bytes], chunk: int) -> None:
    expected = [part.decode("utf-8", "replace").rstrip() for part in parts]
    assert split(b"".join(part + b"\n" for part in parts), chunk) == expected


def test_a_line_of_any_length_is_cut_and_the_next_is_whole() -> None:
    longest = lines.LONGEST_LINE
    told = split(b"before\n" + b"x" * (3 * longest + 5) + b"\nafter\n" + b"y" * (longest + 1), 2**16 - 1)
    assert told[0] == "before" and told[2] == "after"
    assert told[1] == "x" * longest + f" … and {2 * longest + 5} bytes more"
    assert told[3].endswith("… and 1 bytes more")


class Failing:
    """A sink on a disk that can be full."""

    def __init__(self) -> None:
        self.full = False
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.lines.append(text)

    def close(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_log_that_cannot_be_written_ends_nothing_and_says_what_it_lacks() -> None:
    told: list[str | None] = []
    disk = Failing()
    sink = Unfailing(disk)
    sink.troubled = told.append
    for text, full in (("one", False), ("two", True), ("three", True), ("four", False), ("five", False)):
        disk.full = full
        sink.line(text)
    assert [disk.lines[0], *disk.lines[2:]] == ["one", "four", "five"]
    assert "2 lines could not be written" in disk.lines[1]
    assert told == ["No space left on device", None]
    sink.close()


@pytest.mark.parametrize("obstacle", ["folder", "no folder"])
def test_a_file_that_cannot_be_opened_loses_its_lines_and_takes_later_ones(obstacle: str, tmp_path: Path) -> None:
    told: list[str | None] = []
    path = tmp_path / "logs/node1.log"
    sink = Unfailing(RotatedFile(path))
    sink.troubled = told.append
    if obstacle == "folder":
        path.mkdir(parents=True)
    sink.line("lost")
    assert told[0] and path.exists() is (obstacle == "folder")
    if obstacle == "folder":
        path.rmdir()
    path.parent.mkdir(exist_ok=True)
    sink.line("kept \ud800")
    assert path.read_text().splitlines()[1:] == ["kept \\ud800"]
    assert told[1:] == [None]
    sink.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_disk_is_met_at_each_line(tmp_path: Path) -> None:
    told: list[str | None] = []
    path = tmp_path / "node1.log"
    path.symlink_to("/dev/full")
    sink = Unfailing(RotatedFile(path))
    sink.troubled = told.append
    for _ in range(3):
        sink.line("x" * 10_000)
    path.unlink()
    sink.line("room again")
    told_lines = path.read_text().splitlines()
    assert "3 lines could not be written" in told_lines[0]
    assert told_lines[1:] == ["room again"]
    assert told == ["No space left on device", None]
    sink.close()


def test_standard_output_that_nobody_reads_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        Unfailing(StandardOutput()).line("x")
        monkeypatch.undo()
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


class Broken(Node):
    """Something in its care goes wrong in a way that nobody thought of."""

    async def _may_start(self) -> bool:
        raise RuntimeError("nobody thought of this")


def test_what_nobody_expected_ends_no_node() -> None:
    async def run() -> None:
        log = Log()
        node = Broken(Path("/nowhere/node1"), override=None, log=log, changed=lambda: None)
        running = asyncio.create_task(node.run())
        node.start()
        await until(lambda: node.status.restarts >= 2)
        assert node.status.state == "restarting"
        assert node.status.error == "RuntimeError: nobody thought of this"
        assert "nobody thought of this" in (node.status.trouble or "")
        assert any("Traceback" in line for line in log.lines)
        async with asyncio.timeout(5):
            await node.stop()
        running.cancel()

    asyncio.run(run())


class Exchanging:
    """Stands for an exchange that fails."""

    def __init__(self, error: Exception, *, locked: bool) -> None:
        self.locked = asyncio.Event()
        if locked:
            self.locked.set()
        self.error = error
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        raise self.error


Play = Callable[[Program], Coroutine[Any, Any, Any]]


async def with_program(state: Path, exchange: Exchanging, play: Callable[[Program], Coroutine[Any, Any, Any]]) -> None:
    program = Program(Options(nodes=[state / "node1"], state=state, stopped=frozenset({"node1"})))
    program._exchange = exchange  # type: ignore[assignment]
    running = asyncio.create_task(program.run())
    playing = asyncio.create_task(play(program))
    try:
        await asyncio.wait([running, playing], return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if playing.done():
            playing.result()
        program.shut_down()
        await running
    finally:
        playing.cancel()


@pytest.mark.parametrize(
    ("error", "locked"), [(UnicodeEncodeError("ascii", "\xff", 0, 1, "x"), False), (NodeError("lost"), True)]
)
def test_an_exchange_that_fails_is_begun_again(tmp_path: Path, error: Exception, locked: bool) -> None:
    async def run() -> None:
        exchange = Exchanging(error, locked=locked)

        async def play(program: Program) -> None:
            await until(lambda: exchange.runs >= 3)
            assert "the exchange: " in str(program.status()[0]["trouble"])

        await with_program(tmp_path, exchange, play)

    asyncio.run(run())


def test_an_exchange_that_cannot_begin_is_the_node_programs_error(tmp_path: Path) -> None:
    async def run() -> None:
        with pytest.raises(NodeError, match="the settings give another genesis"):
            await with_program(
                tmp_path,
                Exchanging(NodeError("the settings give another genesis"), locked=False),
                lambda _: asyncio.Event().wait(),
            )

    asyncio.run(run())
