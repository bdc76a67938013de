"""Containers, with an engine of the test's own in place of a real one."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from samples import fixed_addresses, identity_number, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.errors import NodeError, NotRunningError, RpcError, RuntimeUnavailableError
from quorumkit.identities import identities_of
from quorumkit.identities.generated import generate
from quorumkit.mark import DOCKER_LABEL, read_mark
from quorumkit.node.status import NodeStatus
from quorumkit.progress import silent
from quorumkit.providers import (
    compose_host,
    compose_mapped,
    compose_project,
    compose_status,
    compose_subnet,
    compose_volumes,
    provider_of,
    volumes,
)
from quorumkit.rpc import IpcRpc
from quorumkit.spec import NetworkSpec

NODES = 3


class Engine:
    """What docker answers, and what Compose does."""

    def __init__(self, directory: NetworkDirectory) -> None:
        self.directory = directory
        self.commands: list[tuple[str, ...]] = []
        self.containers: dict[str, dict[str, Any]] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.log = ""
        self.agreed = True
        self.first = 0
        """The nodes have the identities from number `first` + 1 on."""
        self.keys: dict[str, str] = {}
        """Those on volumes, by node."""
        self.on_up: Callable[[], None] = lambda: None

    def docker(self, *words: str, **options: Any) -> str:
        self.commands.append(words)
        match words:
            case ["ps", *_]:
                return "\n".join(self.containers)
            case ["inspect", *services]:
                return json.dumps([self.containers[service] for service in services])
            case ["volume", "ls", "--quiet"]:
                return "\n".join(self.volumes)
            case ["volume", "ls", *_, label]:
                key, _, value = label.removeprefix("label=").partition("=")
                return "\n".join(volume for volume, labels in self.volumes.items() if labels.get(key) == value)
            case ["volume", "inspect", *names]:
                return json.dumps([{"Name": name, "Labels": self.volumes[name]} for name in names])
            case ["volume", "rm", *names]:
                for name in names:
                    del self.volumes[name]
            case ["run", *_]:
                return json.dumps(self.keys)
            case ["network", *_]:
                return ""
            case _:
                raise AssertionError(words)
        return ""

    def run(self, command: Sequence[str], **_: Any) -> str:
        """`docker logs`, and what one container asks all."""
        if "logs" in command:
            return self.log
        return "\n".join(json.dumps([self._status(number).to_json()]) for number in range(1, NODES + 1))

    async def compose(self, project: compose_project.Project, *words: str, see: Callable[[str], None] = print) -> None:
        self.commands.append(words)
        if words[0] == "up":
            self.on_up()
            content = project.read()
            for settings in content.get("volumes", {}).values():
                self.volumes.setdefault(settings["name"], dict(settings["labels"]))
            for service in content["services"]:
                self.put(service)
                see(f" Container {service}  Started")
        elif words[0] == "down":
            self.containers.clear()

    def put(self, service: str, **state: Any) -> None:
        self.containers[service] = {
            "Id": service,
            "Config": {
                "Labels": {
                    "com.docker.compose.project.working_dir": str(self.directory.path),
                    "com.docker.compose.service": service,
                }
            },
            "State": {"Status": "running", "Running": True} | state,
            "RestartCount": 0,
        }

    def did(self, *words: str) -> bool:
        return any(command[: len(words)] == words for command in self.commands)

    def _status(self, number: int) -> NodeStatus:
        status = NodeStatus(f"node{number}", number, "validator", state="exchanging", error="waits for node2")
        if self.agreed:
            identity = identity_number(self.first + number)
            status.state, status.error, status.account = "running", None, identity.account
            status.enode = f"enode://{identity.enode_key}@node{number}:30303?discport=0"
        return status


@pytest.fixture
def directory(tmp_path: Path) -> NetworkDirectory:
    return NetworkDirectory(tmp_path / "bank")


@pytest.fixture
def engine(directory: NetworkDirectory, monkeypatch: pytest.MonkeyPatch) -> Engine:
    made = Engine(directory)
    for module in (compose_project, compose_subnet, compose_volumes, volumes):
        monkeypatch.setattr(module, "docker", made.docker)
    for module in (compose_volumes, compose_status):
        monkeypatch.setattr(module, "run", made.run)
    monkeypatch.setattr(compose_project, "compose_command", lambda: ("docker", "compose"))

    async def compose(project: compose_project.Project, *words: str, **see: Any) -> None:
        await made.compose(project, *words, **see)

    monkeypatch.setattr(compose_project.Project, "run", compose)
    monkeypatch.setattr(compose_host.ComposeHost, "look_every", 0.001)
    monkeypatch.setattr(compose_mapped, "CONTAINER_STATE_EVERY", 0.0)
    monkeypatch.setattr(compose_mapped, "RECONNECT", 0.001)
    return made


APART = spec_of(NODES, runtime="compose", identities="exchanged")
MAPPED = spec_of(NODES, runtime="compose")
ACCOUNTS = [identity_number(number).account for number in (1, 2, 3)]


def form(directory: NetworkDirectory, spec: NetworkSpec = APART) -> list[str]:
    identities = identities_of(directory, spec, provider_of(directory, spec))
    return [node.identity.account for node in asyncio.run(identities.form(silent, 10)).nodes]


def test_containers_that_agree_are_written_down_with_their_ports_here(
    directory: NetworkDirectory, engine: Engine
) -> None:
    assert form(directory) == ACCOUNTS
    mark = read_mark(directory.path)
    assert {*engine.volumes} == {f"bank_node{number}_{mark}" for number in (1, 2, 3)}
    provider, network = provider_of(directory, APART), directory.load()
    statuses = asyncio.run(provider.status(network))
    assert [status.rpc_url for status in statuses] == [node.endpoints.rpc_url for node in network.nodes]
    assert {status.rpc_url.rpartition(":")[0] for status in statuses} == {"http://127.0.0.1"}
    assert (directory.path / "join-secret").stat().st_mode & 0o777 == 0o600
    urls = [node.endpoints.rpc_url for node in network.nodes]
    assert form(directory) == ACCOUNTS and [node.endpoints.rpc_url for node in directory.load().nodes] == urls


def test_destroyed_it_takes_its_volumes_along_and_no_others(directory: NetworkDirectory, engine: Engine) -> None:
    form(directory)
    mark = str(read_mark(directory.path))
    others = {
        "bank_node1_" + "b" * 16: {DOCKER_LABEL: "b" * 16},
        "bank_node1": {},
        "mine": {DOCKER_LABEL: mark},
        f"bank_node1_{mark}_copy": {DOCKER_LABEL: mark},
    }
    engine.volumes |= others | {f"bank_node7_{mark}": {DOCKER_LABEL: mark}}  # an observer of before
    engine.keys = {"node1": "f" * 128}
    provider = provider_of(directory, APART)
    assert asyncio.run(provider.stop(silent)) is True
    asyncio.run(provider.discard(silent))
    assert engine.volumes == others


def test_a_lost_volume_is_told_and_all_lost_ones_start_nothing(directory: NetworkDirectory, engine: Engine) -> None:
    form(directory)
    mark = read_mark(directory.path)
    del engine.volumes[f"bank_node2_{mark}"]
    with pytest.raises(NodeError, match="node2: lost its disk"):
        form(directory)
    engine.volumes.clear()
    engine.commands.clear()
    for attempt in (lambda: form(directory), lambda: asyncio.run(provider_of(directory, APART).start_nodes(["node1"]))):
        with pytest.raises(NodeError, match="volumes are gone"):
            attempt()
    assert not engine.did("up")


def test_strangers_on_the_volumes_are_stopped_again(directory: NetworkDirectory, engine: Engine) -> None:
    form(directory)
    asyncio.run(provider_of(directory, APART).stop(silent))
    engine.first = 10
    with pytest.raises(NodeError, match="not those that are known here"):
        form(directory)
    assert engine.containers == {}


def test_of_two_projects_of_one_name_neither_touches_the_other(directory: NetworkDirectory, engine: Engine) -> None:
    form(directory)
    engine.directory = NetworkDirectory(directory.path.parent / "other")
    engine.put("node1")
    engine.commands.clear()
    provider, network = provider_of(directory, APART), directory.load()
    for attempt in (
        lambda: asyncio.run(provider.stop(silent)),
        lambda: asyncio.run(provider.look()),
        lambda: asyncio.run(provider.start_nodes(["node1"])),
        lambda: provider.logs(["node1"], follow=False, lines=1),
        lambda: provider.execute(network.node(1), ["id"]),
        lambda: form(directory),
    ):
        with pytest.raises(RuntimeUnavailableError, match="another Compose project is named bank"):
            attempt()
    assert not engine.did("up") and not engine.did("down")


def test_without_an_answer_the_container_says_how_the_node_is(directory: NetworkDirectory, engine: Engine) -> None:
    form(directory)
    provider = provider_of(directory, APART)
    engine.log = "starting\nerror: no room on the disk\n"
    engine.put("node1", Status="exited", Running=False, ExitCode=1)
    engine.put("node2", Status="exited", Running=False, ExitCode=0)
    engine.put("node3", Status="restarting", Running=False)
    engine.containers["node3"]["RestartCount"] = 1
    statuses = asyncio.run(provider.look())
    assert [(status.state, status.error) for status in statuses] == [
        ("failed", "no room on the disk"), ("stopped", None), ("restarting", "no room on the disk"),
    ]  # fmt: skip
    engine.containers["node3"]["RestartCount"] = 100
    assert asyncio.run(provider.look())[2].state == "failed"
    engine.put("node2", Status="created", Running=False, Error="port taken", ExitCode=0)
    assert asyncio.run(provider.look())[1].error == "port taken"


@pytest.fixture
def mapped(directory: NetworkDirectory, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> NetworkDirectory:
    """A network whose files are on this side; its node programs do not answer."""
    provider = provider_of(directory, MAPPED)
    provider.render(generate(directory, MAPPED, fixed_addresses, silent))

    async def connect(path: Path, *, where: str) -> None:
        raise RpcError(f"{where}: cannot be reached")

    monkeypatch.setattr(IpcRpc, "connect", connect)
    return directory


def test_mapped_containers_are_started_and_watched_by_their_state(mapped: NetworkDirectory, engine: Engine) -> None:
    provider, network = provider_of(mapped, MAPPED), mapped.load()
    with pytest.raises(NotRunningError):
        asyncio.run(provider.stop_nodes(["node1"]))
    said: list[str] = []

    def say(text: str, done: int | None = None, total: int | None = None) -> None:
        said.append(f"{text} {done}")

    assert asyncio.run(provider.start(network, say)) is True
    assert said[-1] == "starting containers 3"
    assert asyncio.run(provider.start(network, silent)) is False

    async def watch() -> list[list[str]]:
        seen: list[list[str]] = []
        async with asyncio.timeout(10), contextlib.aclosing(provider.watch(network)) as changes:
            async for statuses in changes:
                seen.append([status.state for status in statuses])
                if len(seen) == 2:
                    break
                engine.log = "error: /node is full\n"
                engine.put("node2", Status="exited", Running=False, ExitCode=1)
        return seen

    first, second = asyncio.run(watch())
    assert first == ["starting"] * 3 and "failed" in second
    status = asyncio.run(provider.look())[1]
    assert status.error == f"{mapped.node('node2')} is full", "in terms of where it lies outside"


def test_interrupted_while_containers_start_they_are_stopped_and_those_that_ran_are_not(
    mapped: NetworkDirectory, engine: Engine
) -> None:
    provider, network = provider_of(mapped, MAPPED), mapped.load()

    def interrupt() -> None:
        engine.put("node1")
        raise asyncio.CancelledError

    engine.on_up = interrupt
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(provider.start(network, silent))
    assert engine.containers == {}
    engine.put("node1")
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(provider.start(network, silent))
    assert [*engine.containers] == ["node1"]


def test_commands_are_composes_own_on_this_project(mapped: NetworkDirectory, engine: Engine) -> None:
    provider, network = provider_of(mapped, MAPPED), mapped.load()
    project = ["docker", "compose", "--project-name", "bank", "--file", "compose.yaml"]
    command = provider.logs(["node2"], follow=True, lines=5)
    assert command.arguments == [*project, "logs", "--no-log-prefix", "--tail", "5", "--follow", "node2"]
    words = provider.console(network.node(2), execute="1").arguments
    assert words[:7] == [*project, "exec"] and words[-5:] == ["node2", "quorumkit", "console", "--exec", "1"]
    assert f"QUORUMKIT_ENODE={network.node(2).enode}" in words
