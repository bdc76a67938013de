"""A node's processes as one group, with small Python programs in it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from quorumkit.errors import EngineError, NodeError
from quorumkit.node import restarts
from quorumkit.node.group import Ending, Group
from quorumkit.node.task import Ground
from quorumkit.node.trouble import Troubles
from quorumkit.process_spec import MARK, Carrier, PartSpec, ProcessSpec, TaskSpec, Upcheck
from support import fake_engine
from support.fake_engine.recipe import process, task
from support.logs import Log, until


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restarts, "ALONE_FIRST_DELAY", 0.01)
    monkeypatch.setattr("quorumkit.node.process._OUTPUT_WITHIN", 0.2)
    fake_engine.register(monkeypatch)


def one(name: str, *after: str, **fields: Any) -> ProcessSpec:
    return process(name, *after, python=sys.executable, **fields)


def three(**fields: Any) -> Sequence[PartSpec]:
    """The one that the others need is named last."""
    return [one("c", "b"), one("b", "a"), one("a", **fields)]


class Running:
    """A group, its log and what it is troubled by."""

    def __init__(self, directory: Path, specs: Sequence[PartSpec]) -> None:
        self.directory = directory
        self.log = Log()
        self.troubles: list[str | None] = []
        self.figures: dict[str, Any] = {}
        ground = Ground(lambda: pytest.fail("nobody asks"), self.figures.__setitem__)
        troubles = Troubles(self.log, self.troubles.append)
        self.group = Group(specs, directory, self.log, troubles, main="c", ground=ground)
        self.life: asyncio.Task[Ending]

    @property
    def events(self) -> list[str]:
        path = self.directory / "events"
        return path.read_text().splitlines() if path.exists() else []

    def is_ready(self, name: str) -> bool:
        return self.group[name].ready.is_set()

    def kill(self, name: str) -> None:
        os.kill(self.group.pids[name], signal.SIGKILL)

    async def ending(self) -> Ending:
        async with asyncio.timeout(20):
            return await asyncio.shield(self.life)


def run(directory: Path, specs: Sequence[PartSpec], play: Callable[[Running], Awaitable[None]]) -> Running:
    """Plays with the group, and has it end if it has not by then. None of its processes outlives it."""
    running = Running(directory, specs)

    async def both() -> None:
        running.life = asyncio.create_task(running.group.run())
        try:
            async with asyncio.timeout(30):
                await play(running)
        finally:
            pids = running.group.pids.values()
            running.group.stop()
            await asyncio.wait([running.life])
            assert not running.group.pids
            assert not any(map(is_alive, pids))

    asyncio.run(both())
    return running


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_they_start_one_after_the_other_and_end_in_reverse(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        assert set(running.group.pids) == {"a", "b", "c"}
        running.group.stop()
        assert await running.ending() == Ending("stopped")

    running = run(tmp_path, three(), play)
    assert running.events == ["start a", "start b", "start c", "end c", "end b", "end a"]
    assert "a: hello" in running.log.lines


def test_one_that_ends_ends_all(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        running.kill("b")
        assert await running.ending() == Ending("its b: killed by SIGKILL")

    assert run(tmp_path, three(), play).events[3:] == ["end c", "end a"]


def test_the_end_of_the_client_is_told_as_the_nodes(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        running.kill("c")
        assert await running.ending() == Ending("killed by SIGKILL")

    run(tmp_path, three(), play)


def test_what_a_process_said_of_its_end_is_told(tmp_path: Path) -> None:
    (tmp_path / "b.does").write_text("dies")

    async def play(running: Running) -> None:
        assert await running.ending() == Ending("its b: it dies")

    assert run(tmp_path, three(), play).events == ["start a", "start b", "end a"]


def test_one_that_starts_alone_leaves_the_others_alone(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        before = running.group.pids
        running.kill("a")
        await until(lambda: running.group.pids.get("a") not in (None, before["a"]))
        assert running.group.pids | {"a": 0} == before | {"a": 0}
        assert not running.life.done()

    running = run(tmp_path, three(starts_alone=True), play)
    assert "the a ended with -9; next start in 0.01 s" in running.log


def test_one_that_ends_again_and_again_before_it_is_ready_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.does").write_text("dies")

    async def play(running: Running) -> None:
        with pytest.raises(NodeError, match="the a ends before it is ready: it dies") as caught:
            await running.ending()
        assert caught.value.hint == "its lines in the log say why"

    assert run(tmp_path, three(starts_alone=True), play).events == ["start a"] * restarts.ALONE_DEATHS


def test_one_that_is_deaf_to_its_signal_is_killed(tmp_path: Path) -> None:
    (tmp_path / "b.does").write_text("stubborn")

    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))

    running = run(tmp_path, [one("c", "b"), one("b", "a", stop_within=0.1), one("a")], play)
    assert "the b did not end in 0.1 s and is killed" in running.log
    assert running.events[3:] == ["end c", "end a"]


def test_a_stop_in_the_middle_of_a_start_is_heeded(tmp_path: Path) -> None:
    (tmp_path / "a.does").write_text("unready")

    async def play(running: Running) -> None:
        await until(lambda: running.events)
        running.group.stop()
        assert await running.ending() == Ending("stopped before its a was ready")

    assert run(tmp_path, three(), play).events == ["start a", "end a"]


def test_a_stop_before_the_start_starts_nothing(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        running.group.stop()
        assert (await running.ending()).reason == "stopped before it started"

    assert run(tmp_path, three(), play).events == []


@pytest.mark.parametrize("pause", [0, 0.001, 0.005, 0.02, 0.05])
def test_a_stop_at_any_moment_leaves_nothing_behind(tmp_path: Path, pause: float) -> None:
    async def play(running: Running) -> None:
        await asyncio.sleep(pause)
        running.group.stop()
        assert (await running.ending()).reason.startswith("stopped")

    run(tmp_path, three(), play)


def test_one_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "a.does").write_text("unready")

    async def play(running: Running) -> None:
        with pytest.raises(NodeError, match=r"the a was not ready in 0\.5 s"):
            await running.ending()

    assert run(tmp_path, three(ready_within=0.5), play).events == ["start a", "end a"]


def test_changed_files_are_read_again_by_those_that_do(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        running.group.reload()
        await until(lambda: len(running.events) == 5)

    running = run(tmp_path, [one("c", "b"), one("b", "a", reload=None), one("a")], play)
    assert sorted(running.events[3:5]) == ["reload a", "reload c"]


def test_a_line_of_any_length_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.does").write_text("chatter")

    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))

    running = run(tmp_path, three(), play)
    assert " bytes more" in next(line for line in running.log.lines if line.startswith("a: xxx"))


def test_a_reader_of_the_log_that_fails_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorumkit.node.trouble.FIRST_PAUSE", 0.01)
    calls = 0

    def fails_once(line: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ValueError("no such line")

    async def play(running: Running) -> None:
        await until(lambda: calls >= 2)
        assert not running.life.done()

    running = run(tmp_path, [one("c", "b", why_it_ends=fails_once), one("b", "a"), one("a")], play)
    assert running.troubles[0] == "the log of its c: ValueError: no such line"


def test_one_that_cannot_be_run_is_told(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        with pytest.raises(EngineError, match=r"/nowhere: cannot be run \(No such file or directory\)"):
            await running.ending()

    run(tmp_path, [ProcessSpec("c", ("/nowhere",))], play)


def test_one_that_starts_alone_and_cannot_be_run_is_given_up(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        with pytest.raises(NodeError, match="the c ends before it is ready: /nowhere: cannot be run"):
            await running.ending()

    spec = ProcessSpec("c", ("/nowhere",), starts_alone=True, ready=Upcheck(Path("c.ipc")))
    running = run(tmp_path, [spec], play)
    assert "the c /nowhere: cannot be run" in running.log


def test_a_stop_does_not_wait_for_the_next_try_of_what_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorumkit.node.trouble.FIRST_PAUSE", 1000.0)
    (tmp_path / "left").mkdir()

    async def play(running: Running) -> None:
        await until(lambda: running.troubles)
        assert str(running.troubles[0]).startswith("the care of its a: ")
        running.group.stop()
        async with asyncio.timeout(5):
            assert await running.ending() == Ending("stopped before its a was ready")

    run(tmp_path, three(starts_alone=True, unlink_first=(Path("left"),)), play)


def test_what_a_script_leaves_behind_is_ended(tmp_path: Path) -> None:
    """A wrapper that does not `exec` its program ended, and the node never did: the program still held the output."""
    script = 'sleep 300 & echo $! > left; echo "c is ready"; wait'

    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c") and (tmp_path / "left").read_text().strip())
        running.kill("c")
        assert await running.ending() == Ending("killed by SIGKILL")
        await until(lambda: not is_alive(int((tmp_path / "left").read_text())))

    running = run(tmp_path, [one("c", argv=("/bin/sh", "-c", script))], play)
    assert "the c left a process behind, which is ended" in running.log


def test_a_refusal_ends_all_and_is_told(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        running.group.refuse("it is on another chain")
        running.group.refuse("and more")
        assert await running.ending() == Ending("it is on another chain")

    assert run(tmp_path, three(), play).events[3:] == ["end c", "end b", "end a"]


def test_one_that_is_ready_as_soon_as_it_runs_and_one_that_runs_elsewhere(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: len(running.events) == 2)
        assert set(running.group.pids) == {"b", "c"}

    specs = [one("c", "b"), one("b", "a", ready=None), one("a", ready=None, is_elsewhere=True)]
    assert sorted(run(tmp_path, specs, play).events[:2]) == ["start b", "start c"]


def test_environment_and_working_directory_are_the_specs(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        assert await running.ending() == Ending("exit code 3")

    argv = ("/bin/sh", "-c", f"echo $COLOUR ${MARK} > seen; pwd >> seen; exit 3")
    run(tmp_path, [ProcessSpec("c", argv, environment={"COLOUR": "red"})], play)
    assert (tmp_path / "seen").read_text().split() == ["red", "c", str(tmp_path)]


def with_task(**fields: Any) -> Sequence[PartSpec]:
    """Its task stands between two processes."""
    return [one("c", "b"), task("b", "a", **fields), one("a")]


def test_a_task_is_one_of_them(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        assert set(running.group.pids) == {"a", "c"}
        running.group.reload()
        running.group.stop()
        assert await running.ending() == Ending("stopped")

    running = run(tmp_path, with_task(), play)
    assert [event for event in running.events if "reload" not in event] == [
        "start a", "start b", "start c", "end c", "end b", "end a",
    ]  # fmt: skip
    assert any(line.endswith("] quorumkit: b: hello") for line in running.log.lines)
    assert running.figures == {"answers": 42}


@pytest.mark.parametrize(
    ("does", "ending"),
    [
        ("dies", Ending("its b: it dies (let it)")),
        ("fails", Ending("its b: ValueError: no such value")),
        ("restarts", Ending("its b: it must begin anew", restarts_at_once=True)),
        ("returns", Ending("its b: it ended by itself")),
    ],
)
def test_a_task_that_ends_ends_all(tmp_path: Path, does: str, ending: Ending) -> None:
    (tmp_path / "b.does").write_text(does)

    async def play(running: Running) -> None:
        assert await running.ending() == ending

    running = run(tmp_path, with_task(), play)
    assert running.events == ["start a", "start b", "end a"]
    assert running.troubles == (["its b: ValueError: no such value"] if does == "fails" else [])
    assert ("in run" in running.log) is (does == "fails")  # the traceback


def test_a_task_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "b.does").write_text("unready")

    async def play(running: Running) -> None:
        with pytest.raises(NodeError, match=r"the b was not ready in 0\.1 s"):
            await running.ending()

    assert run(tmp_path, with_task(ready_within=0.1), play).events == ["start a", "start b", "end b", "end a"]


def test_a_task_that_does_not_end_is_left_behind(tmp_path: Path) -> None:
    """Nothing waits for it, the end of the event loop included."""
    (tmp_path / "b.does").write_text("stubborn")

    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))

    running = run(tmp_path, with_task(stop_within=0.1), play)
    assert "b: did not end in 0.1 s and is left behind" in running.log
    assert running.events[3:] == ["end c", "end a"]


def test_what_a_task_stands_on_is_named_where_that_ended_first(tmp_path: Path) -> None:
    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        pid = running.group.pids["a"]
        os.kill(pid, signal.SIGKILL)
        while is_alive(pid):
            pass  # nobody else has seen it yet
        (tmp_path / "fall").touch()
        assert await running.ending() == Ending("its a: killed by SIGKILL")

    async def falls(carrier: Carrier) -> None:
        carrier.ready()
        while not (tmp_path / "fall").exists():  # noqa: ASYNC110
            await asyncio.sleep(0)
        raise EngineError("connection lost")

    run(tmp_path, [one("c", "b"), TaskSpec("b", falls, after=("a",)), one("a")], play)


def test_all_deaf_ones_together_end_in_the_time_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quorumkit.node.group.GROUP_STOP_WITHIN", 0.9)
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.does").write_text("stubborn")

    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        began = time.monotonic()
        running.group.stop()
        await running.ending()
        assert 0.8 < time.monotonic() - began < 5

    log = run(tmp_path, three(), play).log
    for name in ("a", "b", "c"):
        assert f"the {name} did not end in 0.3 s and is killed" in log


@pytest.mark.parametrize("ready", [True, False])
def test_one_is_ready_once_it_answers_by_http(tmp_path: Path, ready: bool) -> None:
    status = "200 OK" if ready else "503 Not yet"
    script = (
        "import os, socket; s = socket.socket(socket.AF_UNIX); s.bind('rpc.sock'); s.listen()\n"
        "while True:\n"
        "    c, _ = s.accept(); asked = c.recv(999).split(b' ')[1].decode(); open('asked', 'w').write(asked)\n"
        f"    c.sendall(b'HTTP/1.0 {status}\\r\\n\\r\\n{{}}'); c.close()\n"
    )

    async def play(running: Running) -> None:
        await until((tmp_path / "asked").exists)
        if ready:
            await until(lambda: running.is_ready("c"))
        assert running.is_ready("c") is ready

    check = Upcheck(Path("rpc.sock"), "/health")
    run(tmp_path, [one("c", argv=(sys.executable, "-c", script), ready=check)], play)
    assert (tmp_path / "asked").read_text() == "/health"


def test_what_stood_on_one_that_ended_ends_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for the other, which waits for what has ended, does not hear its signal."""
    monkeypatch.setattr("quorumkit.node.group.ORPHANS_END_WITHIN", 0.2)
    (tmp_path / "c.does").write_text("stubborn")

    async def play(running: Running) -> None:
        await until(lambda: running.is_ready("c"))
        running.kill("a")
        async with asyncio.timeout(5):
            assert await running.ending() == Ending("its a: killed by SIGKILL")

    assert "the c did not end in 0.2 s and is killed" in run(tmp_path, with_task(), play).log
