"""The commands, on five nodes that run as containers."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
from itertools import pairwise

import pytest
from projects import Bank, Project, complete, eventually, quorumkit

from support.commands import COMMAND
from support.copied import copied

pytestmark = pytest.mark.compose


def test_up_tells_what_it_is_at_and_says_nothing_twice(started_bank: Bank) -> None:
    lines = started_bank.started.err.splitlines()
    assert "starting containers (0/5)" in lines
    assert any(line.startswith(("starting clients", "waiting for")) for line in lines)
    assert all(one != other for one, other in pairwise(lines)), lines
    assert len(lines) < 60
    out = started_bank.started.out
    assert "holds 42 on all 5 nodes" in out
    assert out.count(" running ") >= 5


def test_up_on_a_network_that_runs_changes_nothing(bank: Project) -> None:
    before = {bank.container(number)["Id"]: bank.container(number)["State"]["StartedAt"] for number in range(1, 6)}
    answer = bank.up("--json").json
    assert [node["state"] for node in answer["nodes"]] == ["running"] * 5
    after = {bank.container(number)["Id"]: bank.container(number)["State"]["StartedAt"] for number in range(1, 6)}
    assert after == before


def test_on_a_terminal_progress_is_one_live_line(bank: Project) -> None:
    leader, follower = pty.openpty()
    with subprocess.Popen([*COMMAND, "up", bank.path], stdout=follower, stderr=follower, stdin=follower) as up:
        os.close(follower)
        shown = b""
        with contextlib.suppress(OSError):  # Linux's way to tell that the other side is closed
            while part := os.read(leader, 65536):
                shown += part
    os.close(leader)
    assert up.returncode == 0
    text = shown.decode("utf-8", "replace")
    assert "\x1b[" in text and "5/5" in text
    # What stays on the screen is the result: the live line was erased.
    assert re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text.rsplit("\x1b[2K", 1)[-1]).strip().startswith("✓")


def test_status_tells_each_node(bank: Project) -> None:
    told = quorumkit("status", bank.path).out
    assert "5 of 5 running" in told
    statuses = bank.status()
    assert list(statuses) == [f"node{number}" for number in range(1, 6)]
    for number, (name, status) in enumerate(statuses.items(), start=1):
        assert name in told and status["rpc_url"] in told
        assert status["ordinal"] == number and status["role"] == "validator"
        assert status["peers"] == 4 and status["block"] > 0 and status["error"] is None
        assert int(bank.ask(number, "net_peerCount"), 16) == 4


def test_verify_reads_every_node_again(bank: Project) -> None:
    assert set(bank.verify()["reads"]) == set(bank.status())
    assert "on all 5 nodes" in quorumkit("verify", bank.path).out


def test_logs_of_one_node_and_of_all(bank: Project) -> None:
    lines = [json.loads(line) for line in bank.on_node("logs", "node3", "--lines", "5", "--json").out.splitlines()]
    assert len(lines) == 5 and {line["node"] for line in lines} == {"node3"}
    assert all(not line["line"].startswith("node3") for line in lines)
    everything = bank.on_node("logs", "--lines", "1").out
    assert all(f"node{number}" in everything for number in range(1, 6))


def test_a_file_is_copied_out_of_a_nodes_directory(bank: Project) -> None:
    assert copied(bank.path, "node2", "node.json") == (bank.path / "nodes/node2/node.json").read_bytes()


def test_exec_runs_in_the_nodes_container_and_tells_it_which_node_it_is(bank: Project) -> None:
    script = "echo $QUORUMKIT_NODE $QUORUMKIT_ACCOUNT; hostname; test -S $QUORUMKIT_IPC && echo socket"
    answer = bank.on_node("exec", "--json", "node4", "--", "sh", "-c", script).json
    account = bank.record(4).identity.account
    assert answer["stdout"].splitlines() == [f"node4 {account}", "node4", "socket"]
    request = '{"jsonrpc":"2.0","id":1,"method":"eth_accounts","params":[]}'
    asked = f"wget -q -O - --header 'Content-Type: application/json' --post-data '{request}' $QUORUMKIT_RPC_URL"
    assert account.lower() in bank.on_node("exec", "node4", "--", "sh", "-c", asked).out
    failed = bank.on_node("exec", "--json", "node4", "--", "sh", "-c", "echo no >&2; exit 7", code=7).json
    assert (failed["exit_code"], failed["stderr"].strip()) == (7, "no")


def test_commands_keep_to_their_network_whatever_the_environment_names(bank: Project) -> None:
    other = {"COMPOSE_PROJECT_NAME": "another", "COMPOSE_FILE": "another.yaml"}
    assert bank.on_node("exec", "node1", "--", "hostname", env=other).out.strip() == "node1"
    bank.on_node("node start", "node1", env=other)


def test_a_node_is_stopped_started_and_restarted(bank: Project) -> None:
    answer = bank.on_node("node stop", "node3", "--json").json
    assert answer == {"network": bank.name, "nodes": ["node3"], "done": "stopped"}
    statuses = bank.until(lambda nodes: nodes["node1"]["peers"] == 3, "node1 misses node3")
    assert statuses["node3"]["state"] == "stopped"
    verification = quorumkit("verify", bank.path, "--json", code=1).json
    assert verification["ok"] is False and list(verification["errors"]) == ["node3"]

    bank.on_node("node start", "node3")
    bank.until_complete()
    before = bank.container(3)["State"]["StartedAt"]
    bank.on_node("node restart", "node3")
    assert bank.container(3)["State"]["StartedAt"] != before
    bank.until_complete()
    bank.verify()


def test_a_killed_container_comes_back_and_follows(bank: Project) -> None:
    before = bank.container(2)
    height = bank.height(1)
    os.kill(before["State"]["Pid"], signal.SIGKILL)
    eventually(lambda: bank.container(2)["RestartCount"] > before["RestartCount"], "it is started again")
    bank.until(lambda nodes: complete(nodes) and nodes["node2"]["block"] > height, "node2 follows")
    height = bank.height(2)
    assert bank.block_hash(2, height) == eventually(lambda: bank.block_hash(1, height), "node1 has the block")
