"""Processes of this machine, with node programs of the test's own in place of real ones."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from samples import fixed_addresses, planned, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, NotRunningError, UsageError
from quorumkit.identities.generated import generate
from quorumkit.node.status import NodeStatus
from quorumkit.progress import silent
from quorumkit.providers import local_each, local_one, provider_of
from quorumkit.spec import NetworkSpec


class Control:
    """A connection to a program."""

    def __init__(self, program: Program) -> None:
        self._program = program

    async def __aenter__(self) -> Control:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def call(self, method: str, *params: Any) -> Any:
        return await self._program.call(method, *params)

    async def subscribe(self, *, namespace: str) -> AsyncGenerator[list[dict[str, Any]]]:
        for nodes in self._program.reports:
            yield nodes


class Program:
    """A node program that runs nothing."""

    all: ClassVar[list[Program]] = []

    def __init__(self, state: Path, nodes: Sequence[Path], *, network: Path, former: Sequence[Path] = ()) -> None:
        self.state = state
        self.names = [node.name for node in nodes]
        self.carried = [*self.names]
        self.network = network
        self.runs = False
        self.calls: list[tuple[Any, ...]] = []
        self.spawned: list[str] = []
        self.reports: list[list[dict[str, Any]]] = []
        self.on_spawn: Callable[[], None] = lambda: None
        self.on_call: Callable[[], object] = lambda: None
        Program.all.append(self)

    @property
    def log_path(self) -> Path:
        return self.state / "supervisor.log"

    def process(self) -> object | None:
        return self if self.runs else None

    def orphans(self) -> list[object]:
        return []

    def end_orphans(self) -> int:
        return 0

    @contextlib.contextmanager
    def starting_or_stopping(self) -> Iterator[None]:
        yield

    def spawn(self, arguments: Sequence[str]) -> None:
        self.spawned = [*arguments]
        self.state.mkdir(parents=True, exist_ok=True)
        self.runs = True
        self.on_spawn()

    async def connect(self, *, patient: bool = False) -> Control:
        if not self.runs:
            raise NotRunningError("not running")
        return Control(self)

    async def call(self, method: str, *params: Any) -> Any:
        if not self.runs:
            raise NotRunningError("not running")
        self.calls.append((method, *params))
        self.on_call()
        await asyncio.sleep(0)
        return self.status() if method == "node_status" else None

    def status(self, **fields: Any) -> list[dict[str, Any]]:
        return [
            NodeStatus(name, int(name.removeprefix("node")), "validator", **({"state": "running"} | fields)).to_json()
            for name in self.carried
        ]

    async def end(self, report: Callable[[list[dict[str, Any]]], None]) -> bool:
        ran, self.runs = self.runs, False
        report(self.status(state="stopped"))
        return ran


@pytest.fixture(autouse=True)
def programs(monkeypatch: pytest.MonkeyPatch) -> list[Program]:
    Program.all = []
    monkeypatch.setattr(local_one, "NodeProgram", Program)
    monkeypatch.setattr(local_each, "NodeProgram", Program)
    return Program.all


@pytest.fixture
def apart(tmp_path: Path) -> tuple[NetworkDirectory, NetworkSpec]:
    """Three nodes that are to agree, and one that was the spec's once."""
    directory = NetworkDirectory(tmp_path / "bank")
    directory.state.mkdir(parents=True)
    for name in ("node1", "node2", "node3", "node4"):
        (directory.node(name) / ".state").mkdir(parents=True)
    return directory, spec_of(3, identities="exchanged")


def test_one_program_is_asked_for_all_nodes(generated: NetworkDirectory, programs: list[Program]) -> None:
    nodes = provider_of(generated, generated.read_spec())
    network = generated.load()
    assert {status.state for status in asyncio.run(nodes.status(network))} == {"stopped"}
    assert [status.role for status in asyncio.run(nodes.look())] == ["validator"] * 3 + ["observer"]
    assert asyncio.run(nodes.start(network, silent)) is True
    (program,) = programs
    program.carried.remove("node4")
    states = [status.state for status in asyncio.run(nodes.status(network))]
    assert states == ["running"] * 3 + ["stopped"]
    asyncio.run(nodes.stop_nodes(["node2", "node3"]))
    assert program.calls[-1] == ("node_stop", ["node2", "node3"])
    with pytest.raises(UsageError):
        provider_of(generated, generated.read_spec()).exchange_host()


def test_a_program_that_runs_takes_new_nodes_in_and_refuses_a_smaller_spec(
    generated: NetworkDirectory, programs: list[Program]
) -> None:
    nodes = provider_of(generated, generated.read_spec())
    network = generated.load()
    (program,) = programs
    program.runs = True
    program.carried = ["node1", "node2", "node3"]
    assert asyncio.run(nodes.start(network, silent)) is False
    reload, carry, start = program.calls[1:]
    assert reload == ("node_reload", ["node1", "node2", "node3"])
    assert carry == ("node_carry", [str(generated.node("node4").absolute())])
    assert start == ("node_start", ["node1", "node2", "node3", "node4"])
    program.carried = [f"node{number}" for number in range(1, 6)]
    with pytest.raises(NodeError, match="it runs with 5 nodes, and the spec has 4"):
        asyncio.run(nodes.start(network, silent))


@pytest.mark.parametrize("exchanged", [False, True])
def test_interrupted_while_programs_start_they_are_ended(
    exchanged: bool, tmp_path: Path, programs: list[Program]
) -> None:
    """The thread that starts one goes on when its command is interrupted, and must not outlive it unseen."""
    spec = spec_of(2, identities="exchanged" if exchanged else "generated")
    directory = NetworkDirectory(tmp_path / "bank")
    network = generate(directory, spec, fixed_addresses, silent)
    nodes = provider_of(directory, spec)

    async def run() -> None:
        if exchanged:
            host = nodes.exchange_host()
            host.write(None)
            starting: asyncio.Task[Any] = asyncio.create_task(host.start_exchange(silent))
        else:
            starting = asyncio.create_task(nodes.start(network, silent))
        loop = asyncio.get_running_loop()

        def interrupt() -> None:
            loop.call_soon_threadsafe(starting.cancel)

        programs[0].on_spawn = interrupt
        with pytest.raises(asyncio.CancelledError):
            await starting
        if exchanged:
            await host.undo(silent)

    asyncio.run(run())
    assert programs[0].spawned and not any(program.runs for program in programs)


def test_watching_tells_each_change_and_that_the_program_ended(
    generated: NetworkDirectory, programs: list[Program]
) -> None:
    nodes = provider_of(generated, generated.read_spec())
    network = generated.load()

    async def watch() -> list[Sequence[str]]:
        seen: list[Sequence[str]] = []
        async with asyncio.timeout(10):
            try:
                async for statuses in nodes.watch(network):
                    seen.append([status.state for status in statuses])
            except NotRunningError as error:
                seen.append([error.message, str(error.hint)])
        return seen

    ((said, hint),) = asyncio.run(watch())
    assert said.endswith("not running") and "quorumkit up" in hint
    (program,) = programs
    program.runs = True
    program.carried = ["node1", "node2", "node3"]  # the spec has had node4 since
    program.reports = [program.status()]
    *_, (said, hint) = asyncio.run(watch())
    assert said.endswith("the node program ended") and "supervisor.log" in hint


def test_each_node_of_its_own_is_asked_by_its_own_program(
    apart: tuple[NetworkDirectory, NetworkSpec], programs: list[Program]
) -> None:
    nodes = provider_of(*apart)
    assert [program.names for program in programs] == [["node1"], ["node2"], ["node3"], ["node4"]]
    programs[1].runs = True
    assert [status.state for status in asyncio.run(nodes.look())] == ["stopped", "running", "stopped"]
    assert asyncio.run(nodes.call("node2", "node_replace", "node1")) is None
    assert list(programs[1].calls[-1]) == ["node_replace", "node1"]
    with pytest.raises(NotRunningError):
        asyncio.run(nodes.call("node1", "node_status"))
    asyncio.run(nodes.restart_nodes(["node2"]))
    assert list(programs[1].calls[-1]) == ["node_restart", ["node2"]]
    assert asyncio.run(nodes.stop(silent)) is True
    assert asyncio.run(nodes.stop(silent)) is False


def test_what_agrees_is_started_with_what_it_needs_and_what_the_spec_has_no_more_is_ended(
    apart: tuple[NetworkDirectory, NetworkSpec], programs: list[Program]
) -> None:
    directory, _ = apart
    host = provider_of(*apart).exchange_host()
    programs[3].runs = True
    assert asyncio.run(host.find_disks()).running
    host.write(None)
    asyncio.run(host.start_exchange(silent))
    assert [program.runs for program in programs] == [True, True, True, False]
    secret = directory.path / "join-secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    words = programs[1].spawned
    assert words[words.index("--ordinal") + 1] == "2"
    assert words[words.index("--join-secret-file") + 1] == str(secret)
    assert secret.read_text() not in " ".join(words)
    peers = words[words.index("--peers") + 1].split(",")
    assert words[words.index("--exchange-bind") + 1] == peers[1] and len(set(peers)) == 3


@pytest.mark.parametrize("was_running", [False, True])
def test_interrupted_once_they_have_agreed_what_was_started_is_ended(
    was_running: bool, apart: tuple[NetworkDirectory, NetworkSpec], programs: list[Program]
) -> None:
    nodes, network = provider_of(*apart), planned(apart[1])
    host = nodes.exchange_host()
    programs[0].runs = was_running

    async def run() -> None:
        await host.find_disks()
        host.write(None)
        await host.start_exchange(silent)
        starting = asyncio.create_task(nodes.start(network, silent))
        for program in programs[:3]:
            program.on_call = starting.cancel
        with pytest.raises(asyncio.CancelledError):
            await starting

    asyncio.run(run())
    assert [program.runs for program in programs] == [was_running] * 3 + [False]


def test_a_program_that_ended_is_told_in_its_own_words(
    apart: tuple[NetworkDirectory, NetworkSpec], programs: list[Program]
) -> None:
    nodes = provider_of(*apart)
    host = nodes.exchange_host()
    for program in programs[:3]:
        program.runs = True
    asyncio.run(host.check_alive(asyncio.run(nodes.look())))
    programs[2].runs = False
    programs[2].log_path.write_text("starting\nerror: no room on the disk\nbye\n")
    with pytest.raises(NodeError, match=r"^node3: its node program ended: no room on the disk$"):
        asyncio.run(host.check_alive(asyncio.run(nodes.look())))
    with pytest.raises(UsageError, match="nothing to make beforehand"):
        host.check_beforehand()
