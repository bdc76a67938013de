"""`init --no-shared-data`: containers that make their own keys and agree over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from projects import Project, docker, eventually, quorumkit

from support.clique import CLIQUE
from support.copied import copied

pytestmark = pytest.mark.compose


@pytest.fixture(scope="module")
def project(new_project: Callable[[str], Project]) -> Project:
    project = new_project("apart")
    project.init(4, "--no-shared-data")
    made = {path.name for path in project.path.rglob("*") if path.is_file() and not path.name.endswith(".lock")}
    assert made == {"quorumkit.yaml", "quorumkit.schema.json", "compose.yaml", ".env", "join-secret", "network-id"}, (
        "no key is made outside its container"
    )
    project.compose("docker compose", "up", "-d", "node1")
    waiting = project.until(lambda nodes: nodes["node1"]["state"] == "exchanging", "node1 waits for the others")
    assert "node2" in waiting["node1"]["error"]
    assert [waiting[f"node{number}"]["state"] for number in (2, 3, 4)] == ["stopped"] * 3
    project.compose("docker compose", "up", "-d")  # by hand, as anybody would
    return project


def test_it_is_verified_although_it_was_started_by_hand(project: Project) -> None:
    statuses = project.until_complete()
    assert {node["rpc_url"].rpartition(":")[0] for node in statuses.values()} == {"http://127.0.0.1"}
    assert not (project.path / "genesis.json").exists()
    assert project.verify()["ok"] is True
    project.up()
    assert [project.record(number).endpoints.rpc_url for number in (1, 4)] == [
        statuses[n]["rpc_url"] for n in ("node1", "node4")
    ]


def test_no_volume_is_in_two_containers_and_no_key_on_this_side(project: Project) -> None:
    mounts = [
        mount["Name"]
        for number in range(1, 5)
        for mount in project.container(number)["Mounts"]
        if mount["Type"] == "volume"
    ]
    assert len(mounts) == len(set(mounts)) == 4
    for secret in ("nodekey", "password", "UTC--*"):
        assert not list(project.path.rglob(secret))


def test_the_join_secret_is_in_no_environment_and_no_argument(project: Project) -> None:
    secret = (project.path / "join-secret").read_text().strip()
    assert secret
    for number in range(1, 5):
        assert secret not in json.dumps(project.container(number)["Config"])


def test_a_container_that_comes_back_with_another_address_is_found_again(project: Project) -> None:
    with project.moved(2):
        project.verify()


def test_a_node_restarts_with_all_others_down(project: Project) -> None:
    key = copied(project.path, "node3", "data/geth/nodekey")
    project.compose("docker compose", "stop")
    assert copied(project.path, "node3", "data/geth/nodekey") == key and len(key) == 64, "read from its volume"
    project.compose("docker compose", "start", "node3")
    eventually(lambda: "IPC endpoint opened" in docker("logs", "--tail", "200", project.container(3)["Id"]), "node3 up")
    project.compose("docker compose", "start")
    project.until_complete()


def test_a_node_that_lost_its_disk_is_told_and_replaced(project: Project) -> None:
    genesis, key = (project.path / "genesis.json").read_bytes(), project.record(4).identity.enode_key
    [volume] = [mount["Name"] for mount in project.container(4)["Mounts"] if mount["Type"] == "volume"]
    docker("rm", "--force", project.container(4)["Id"])
    docker("volume", "rm", volume)
    said = project.up(code=1).err
    assert "node4: lost its disk, so it has new keys, which the others refuse" in said
    assert "quorumkit node replace node4" in said
    project.until(lambda nodes: nodes["node4"]["state"] == "exchanging", "node4 waits")
    project.on_node("node replace", "node4")
    project.until_complete()
    assert project.record(4).identity.enode_key != key
    project.up("--verify")
    assert (project.path / "genesis.json").read_bytes() == genesis


def test_destroy_removes_the_volumes(new_project: Callable[[str], Project]) -> None:
    project = new_project("gone")
    project.up(*CLIQUE, "-n", "1", "--runtime", "compose", "--no-shared-data", "--name", project.name)
    # One that the spec had once and has no more, whose keys are the network's too.
    [volume] = [name for name in docker("volume", "ls", "--format", "{{.Name}}").split() if project.name in name]
    mark = volume.rpartition("_")[2]
    docker("volume", "create", "--label", f"org.quorumkit.network={mark}", volume.replace("node1", "node2"))
    quorumkit("destroy", project.path, "--yes")
    assert f"{project.name}_node" not in docker("volume", "ls", "--format", "{{.Name}}")
