"""What a container may do, and what it sees."""

from __future__ import annotations

import os
import re
import socket

import pytest
from projects import Project

pytestmark = pytest.mark.compose


def inside(bank: Project, script: str, *, code: int | None = 0) -> str:
    answer = bank.on_node("exec", "node1", "--", "sh", "-c", script, code=code)
    return answer.out + answer.err


def test_rpc_is_published_on_loopback_alone(bank: Project) -> None:
    for number in range(1, 6):
        published = bank.container(number)["NetworkSettings"]["Ports"]
        port = bank.record(number).endpoints.rpc_url.rpartition(":")[2]
        assert {name: ends for name, ends in published.items() if ends} == {
            "8545/tcp": [{"HostIp": "127.0.0.1", "HostPort": port}]
        }
    gateway = next(iter(bank.container(1)["NetworkSettings"]["Networks"].values()))["Gateway"]
    with pytest.raises(ConnectionRefusedError):  # another address of this same machine
        socket.create_connection((gateway, int(port)), timeout=20).close()


def test_the_node_program_has_no_privileges(bank: Project) -> None:
    status = dict(line.split(":\t", 1) for line in inside(bank, "cat /proc/1/status").splitlines() if ":\t" in line)
    owner = bank.node(1).stat()
    assert owner.st_uid != 0
    assert status["Uid"].split() == [str(owner.st_uid)] * 4
    assert status["Gid"].split() == [str(owner.st_gid)] * 4
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_memory_and_processes_are_limited(bank: Project) -> None:
    limits = bank.container(1)["HostConfig"]
    assert limits["Memory"] == 2**30
    assert limits["PidsLimit"] == 512
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"
    assert not limits["Privileged"]


@pytest.mark.parametrize("path", ["/x", "/usr/bin/x"])
def test_the_file_system_cannot_be_written(path: str, bank: Project) -> None:
    assert "Read-only file system" in inside(bank, f"echo x >> {path}", code=1)


def test_its_own_directory_and_tmp_can_be_written(bank: Project) -> None:
    inside(bank, "echo x > /node/scratch && rm /node/scratch && echo x > /tmp/scratch && rm /tmp/scratch")


def test_a_container_sees_its_own_node_and_no_other(bank: Project) -> None:
    mounts = {mount["Destination"]: mount for mount in bank.container(1)["Mounts"]}
    assert mounts.keys() == {"/node", "/genesis.json"}
    assert mounts["/node"]["Source"] == str(bank.node(1))
    assert mounts["/genesis.json"]["RW"] is False
    keys = inside(bank, "find / -name nodekey -not -path '/proc/*' 2>/dev/null", code=None).split()
    assert keys == ["/node/data/geth/nodekey"]
    others = "|".join((bank.node(number) / "data/geth/nodekey").read_text().strip() for number in range(2, 6))
    assert not re.search(others, inside(bank, "env; cat /node/*.json /node/*.toml /genesis.json"))


def test_all_files_of_the_nodes_stay_their_owners(bank: Project) -> None:
    owner = bank.node(1).stat().st_uid
    assert {path.lstat().st_uid for path in (bank.path / "nodes").rglob("*")} == {owner}
    assert {path.lstat().st_uid for path in bank.path.iterdir()} == {os.geteuid()}


def test_compose_sees_the_health_that_the_node_program_tells(bank: Project) -> None:
    assert bank.container(1)["Config"]["Healthcheck"]["Test"][-1] == "http://127.0.0.1:9545/readyz"
    assert "node1: running" in inside(bank, "wget -q -O - http://127.0.0.1:9545/readyz")
