"""What is missing, forbidden or taken: one clear message each, and a way out."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Project, quorumkit

from support.clique import CLIQUE
from support.commands import Result

pytestmark = pytest.mark.compose

ONE_ON_CLIQUE = "nodes: {validators: 1}\nconsensus: {kind: clique}\n"

COMMANDS = [["up"], ["status"], ["down"], ["verify"]]


def refused(result: Result, message: str, hint: str) -> None:
    """Exactly two lines of that, and no traceback; progress may stand before them."""
    assert result.code == 1
    assert result.out == ""
    said, tip = result.err.splitlines()[-2:]
    assert said.startswith("error: ") and message in said, result.err
    assert tip.startswith("  try: ") and hint in tip, result.err


@pytest.mark.parametrize("command", COMMANDS)
def test_no_docker(command: list[str], generated: Project, tmp_path: Path) -> None:
    nowhere = {"PATH": str(tmp_path)}
    refused(quorumkit(*command, generated.path, code=None, env=nowhere), "ocker is not on PATH", "install Docker")


def test_no_docker_is_no_hindrance_to_init(tmp_path: Path) -> None:
    Project(tmp_path / "net", "nodocker").init(1, env={"PATH": str(tmp_path)})
    assert (tmp_path / "net/compose.yaml").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_no_daemon(command: list[str], generated: Project, tmp_path: Path) -> None:
    dead = {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    refused(quorumkit(*command, generated.path, code=None, env=dead), "daemon does not run", "systemctl start docker")


def test_a_refusal_in_json(generated: Project, tmp_path: Path) -> None:
    dead = {"DOCKER_HOST": f"unix://{tmp_path}/docker.sock"}
    error = quorumkit("up", generated.path, "--json", code=1, env=dead).json["error"]
    assert error["kind"] == "RuntimeUnavailableError"
    assert "daemon does not run" in error["message"] and error["hint"]


@pytest.mark.parametrize("command", [["status"], ["image", "build", *CLIQUE]])
def test_no_permission_on_the_socket(command: list[str], generated: Project, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    if command == ["status"]:
        command = ["status", str(generated.path)]
    # The cache holds the client already, and is only read.
    result = quorumkit(*command, code=None, other_user=True, env={"HOME": str(tmp_path), **_own_cache()})
    refused(result, "no permission", "`docker` group")


def _own_cache() -> dict[str, str]:
    from quorumkit.cache import cache_directory

    return {"QUORUMKIT_CACHE": str(cache_directory())}


def test_a_subnet_that_was_asked_for_is_in_use(
    new_project: Callable[[str], Project], docker_network: Callable[[str], str]
) -> None:
    project = new_project("asked")
    project.path.mkdir()
    spec = project.path / "quorumkit.yaml"
    text = f"name: {project.name}\nruntime: compose\n{ONE_ON_CLIQUE}compose: {{subnet: 10.213.%d.0/29}}\n"
    spec.write_text(text % 77)
    docker_network("10.213.77.0/24")
    refused(project.up(code=None), "10.213.77.0/29 overlaps 10.213.77.0/24", "set another compose.subnet")
    assert project.containers() == []

    # And the way out that the hint names is one.
    spec.write_text(text % 78)
    project.up()
    assert project.record(1).endpoints.p2p.host == "10.213.78.2"


def test_a_chosen_subnet_that_was_taken_meanwhile_is_left_for_another(
    new_project: Callable[[str], Project], docker_network: Callable[[str], str]
) -> None:
    project = new_project("taken")
    project.init(1)
    host = project.record(1).endpoints.p2p.host
    docker_network(host.rpartition(".")[0] + ".0/24")
    project.up()
    assert project.record(1).endpoints.p2p.host != host


def test_an_image_that_is_missing(new_project: Callable[[str], Project]) -> None:
    project = new_project("imageless")
    project.path.mkdir()
    (project.path / "quorumkit.yaml").write_text(
        f"name: {project.name}\nruntime: compose\n{ONE_ON_CLIQUE}compose: {{image: quorumkit.invalid/no:1}}\n"
    )
    refused(project.up(code=None), "quorumkit.invalid/no:1 is not here", "docker pull quorumkit.invalid/no:1")


def test_an_image_that_is_missing_by_hand_is_not_fetched_from_a_stranger(new_project: Callable[[str], Project]) -> None:
    project = new_project("byhand")
    project.init(1)
    compose = project.path / "compose.yaml"
    compose.write_text(compose.read_text().replace("quorumkit/node:", "quorumkit/no-such-node:"))
    with pytest.raises(AssertionError, match="No such image"):
        project.compose("docker compose", "up", "-d")


def test_the_same_name_in_another_directory(bank: Project, tmp_path: Path) -> None:
    namesake = Project(tmp_path / "namesake", bank.name)
    namesake.init(1)
    for command in (["up"], ["status"], ["down"], ["destroy", "--yes"]):
        result = quorumkit(*command, namesake.path, code=None)
        refused(result, f"another Compose project is named {bank.name}, in {bank.path}", "another name")
    for words in (["exec", "node1", "--", "id"], ["console", "node1", "--exec", "1"], ["logs", "node1"]):
        assert f"another Compose project is named {bank.name}" in namesake.on_node(words[0], *words[1:], code=1).err
    assert len(bank.containers()) == 5
    bank.until_complete()


def test_a_port_that_was_asked_for_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "quorumkit.yaml").write_text(
            f"name: ported\nruntime: compose\n{ONE_ON_CLIQUE}ports: {{rpc: {port}}}\n"
        )
        refused(quorumkit("up", tmp_path, code=None), f"ports.rpc: port {port} is taken", "change ports.rpc")


def test_a_port_taken_after_init_is_told_by_node_start(new_project: Callable[[str], Project]) -> None:
    project = new_project("late")
    project.init(1)
    port = int(project.record(1).endpoints.rpc_url.rpartition(":")[2])
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        refused(project.on_node("node start", "node1", code=None), "a port is taken", "quorumkit up")
        # which then moves to another
        project.up()
        assert int(project.record(1).endpoints.rpc_url.rpartition(":")[2]) != port
