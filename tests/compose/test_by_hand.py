"""`init`, then plain Compose: no Quorumkit is needed to run what it made."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import OTHER_USER, PATIENCE, Built, Project, quorumkit, run

from support.clique import CLIQUE
from support.ports import free_ports

pytestmark = pytest.mark.compose


def test_compose_runs_what_another_user_made_and_leaves_it_theirs(
    new_project: Callable[[str], Project], tmp_path: Path
) -> None:
    project = new_project("own")
    owner = os.geteuid()
    cache = {"QUORUMKIT_CACHE": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    if owner == 0:
        owner = OTHER_USER
        os.chown(tmp_path, owner, owner)
        project.path.mkdir()
        os.chown(project.path, owner, owner)
        project.init(5, other_user=True, env=cache)
    else:
        project.init(5)
    assert f'user: "{owner}:' in (project.path / "compose.yaml").read_text()

    project.compose("docker compose", "up", "-d")
    project.until_complete()
    first = project.verify()
    answer = project.compose(
        "docker compose", "exec", "-T", "node2", "quorumkit", "console", "--exec", "storage.last().get()"
    )
    assert answer.out.strip() == "42"
    kept = project.block_hash(1, first["block"])

    project.compose("docker compose", "down")
    assert project.containers() == []
    project.compose("docker compose", "up", "-d")
    project.until_complete()
    assert project.block_hash(3, first["block"]) == kept
    assert project.height() > first["block"]
    project.verify()

    assert {path.lstat().st_uid for path in [project.path, *project.path.rglob("*")]} == {owner}
    project.compose("docker compose", "down")


def test_docker_compose_1_runs_it_by_hand_and_for_the_commands(
    new_project: Callable[[str], Project], without_plugin: dict[str, str]
) -> None:
    if shutil.which("docker-compose") is None:
        pytest.skip("docker-compose is not on PATH")
    assert run("docker-compose", "version", "--short").out.startswith("1.29")
    project = new_project("old")
    project.init(5)
    project.compose("docker-compose", "up", "-d")
    project.until_complete()
    first = project.verify()
    kept = project.block_hash(1, first["block"])
    project.compose("docker-compose", "down")
    assert project.containers() == []

    # Where there is no plugin, every command finds this one.
    up = project.up("--verify", env=without_plugin)
    assert "starting containers (" in up.err
    assert "holds 42 on all 5 nodes" in up.out
    assert project.block_hash(2, first["block"]) == kept
    assert project.container(1)["Name"] == f"/{project.name}_node1_1"
    console = project.on_node("console", "node2", "--exec", "storage.last().get()", env=without_plugin)
    assert console.out.strip() == "42"
    project.on_node("node stop", "node2", env=without_plugin)
    assert project.status()["node2"]["state"] == "stopped"
    project.on_node("node start", "node2", env=without_plugin)
    assert quorumkit("down", project.path, "--json", env=without_plugin).json["stopped"] is True
    assert project.containers() == []


def test_twenty_nodes_are_verified_then_stopped_then_gone(new_project: Callable[[str], Project]) -> None:
    project = new_project("twenty")
    waited = str(2 * PATIENCE)
    up = project.up(*CLIQUE, "-n", "20", "--runtime", "compose", "--name", project.name, "--verify", "--json",
                    "--timeout", waited)  # fmt: skip
    answer = up.json
    assert {node["state"] for node in answer["nodes"]} == {"running"}
    assert {node["peers"] for node in answer["nodes"]} == {19}
    assert answer["verify"]["ok"] and len(answer["verify"]["reads"]) == 20
    assert len(project.containers()) == 20

    assert quorumkit("down", project.path, "--json").json == {"network": project.name, "stopped": True}
    assert project.containers() == []
    assert run("docker", "network", "inspect", f"{project.name}_quorum", code=1)
    assert {node["state"] for node in project.status().values()} == {"stopped"}
    assert quorumkit("down", project.path, "--json").json["stopped"] is False

    assert quorumkit("destroy", project.path, "--yes", "--json").json["destroyed"] is True
    assert not project.path.exists()


def test_containers_of_ones_own_as_the_page_says(image: Built, tmp_path: Path) -> None:
    """The page's own commands, under names and ports that nobody else has."""
    page = (Path(__file__).parents[2] / "docs/how-to/nothing-shared.md").read_text()
    [script] = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    mine, ports = f"qk{os.getpid()}-own", [str(port) for port in free_ports(3)]
    changes = {
        "quorum-node": f"{mine}-node",
        "--network quorum": f"--network {mine}",
        "network create quorum": f"network create {mine}",
        "$((8544 + n))": f"$(echo {' '.join(ports)} | cut -d ' ' -f $n)",
        "--env QUORUMKIT_EXCHANGE=1": f"--env QUORUMKIT_EXCHANGE=1 --env QUORUMKIT_CONSENSUS={CLIQUE[1]}",
        re.search(r"quorumkit/node:\S+", script)[0]: image.tag,  # type: ignore[index]
        "quorumkit verify": '"$PYTHON" -P -m quorumkit verify',
        "sudo ": "",
        **{f"--rpc http://127.0.0.1:{8545 + n}": f"--rpc http://127.0.0.1:{ports[n]}" for n in range(3)},
    }
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    try:
        said = run("bash", "-euc", script, cwd=tmp_path, env={"PYTHON": sys.executable})
        assert "holds 42 on all 3 nodes" in said.out
    finally:
        nodes = [f"{mine}-node{n}" for n in (1, 2, 3)]
        run("docker", "rm", "--force", *nodes, code=None)
        run("docker", "volume", "rm", *nodes, code=None)
        run("docker", "network", "rm", mine, code=None)


def test_the_image_of_a_network_is_made_by_the_command_that_init_names(
    new_project: Callable[[str], Project], tmp_path: Path
) -> None:
    project = new_project("said")
    told = project.init(1).out
    command = f"quorumkit image build --dir {project.path}"
    assert f"or with Compose alone: {command}, then docker compose up -d in {project.path}" in told
    tag = quorumkit(*command.split()[1:], "--json").json["tag"]
    assert f"image: {tag}" in (project.path / "compose.yaml").read_text()
