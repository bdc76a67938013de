"""The kubernetes runtime, through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import PATIENCE, Release, command, eventually

from quorumkit.errors import NodeError
from support.clique import CLIQUE, on_clique
from support.commands import COMMAND
from support.copied import copied


class Network:
    """A network directory whose pods run in a namespace of their own."""

    def __init__(self, path: Path, namespace: str, image: str) -> None:
        self.path = path
        self.release = Release(namespace, path.name)
        self._image = image

    def write(self, *, validators: int = 3, observers: int = 1, **kubernetes: Any) -> None:
        self.path.mkdir(exist_ok=True)
        spec = {
            "name": self.path.name,
            "runtime": "kubernetes",
            "nodes": {"validators": validators, "observers": observers},
            "kubernetes": {"namespace": self.release.namespace, "image": self._image, "storage": "1Gi"} | kubernetes,
        }
        (self.path / "quorumkit.yaml").write_text(json.dumps(on_clique(spec)))

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"QUORUMKIT_NETWORK": str(self.path)}
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, check=False, timeout=3 * PATIENCE, env=environment
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ask(self, *words: str) -> Any:
        return json.loads(self.run(*words, "--json").stdout)


@pytest.fixture(scope="module")
def make(
    image: str, new_namespace: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Network]]:
    made: list[Network] = []

    def new(name: str) -> Network:
        made.append(Network(tmp_path_factory.mktemp("networks") / name, new_namespace(), image))
        return made[-1]

    yield new
    for network in made:
        if network.path.exists():
            network.run("destroy", str(network.path), "--yes")


@pytest.fixture(scope="module")
def network(make: Callable[[str], Network]) -> Network:
    """One that is up: three validators and an observer."""
    made = make("bank")
    made.write()
    made.run("up", "--timeout", f"{PATIENCE:g}")
    return made


def test_up_tells_every_node_and_writes_no_secret(network: Network) -> None:
    nodes = network.ask("status")["nodes"]
    assert [(node["name"], node["role"], node["state"]) for node in nodes] == [
        ("node1", "validator", "running"),
        ("node2", "validator", "running"),
        ("node3", "validator", "running"),
        ("node4", "observer", "running"),
    ]
    assert all(node["peers"] == node["expected_peers"] == 3 and node["block"] for node in nodes)
    assert {path.name for path in network.path.rglob("*") if path.is_file() and ".state" not in path.parts} == {
        "quorumkit.yaml", "genesis.json", "node.json", "network-id"
    }  # fmt: skip


def test_the_genesis_written_down_is_the_one_that_pods_run(network: Network) -> None:
    inside = network.run("exec", "node1", "--", "cat", "/node/genesis.json").stdout
    assert inside == (network.path / "genesis.json").read_text()


def test_verify_and_console_and_logs_and_exec(network: Network) -> None:
    verified = network.ask("verify", "--timeout", f"{PATIENCE:g}")
    assert verified["ok"] is True
    assert verified["reads"] == {f"node{number}": 42 for number in range(1, 5)}
    assert network.ask("console", "node4", "--exec", "storage.last().get()")["result"] == "42"
    told = network.run("exec", "node3", "--", "sh", "-c", "echo $(hostname) $QUORUMKIT_NODE $QUORUMKIT_RPC_URL").stdout
    assert told.split() == ["bank-2", "node3", "http://127.0.0.1:8545"]
    assert "agreed: 3 nodes" not in network.run("logs", "node1", "--lines", "0").stdout
    assert "node1 agreed" in network.run("logs", "node1", "--lines", "10000").stdout
    two = network.run("logs", "node1", "node3", "--lines", "1").stdout
    assert {line.partition("]")[0] for line in two.splitlines()} == {"[pod/bank-0/node", "[pod/bank-2/node"}


def test_a_file_is_copied_out_of_a_pod(network: Network) -> None:
    record = json.loads(copied(network.path, "node2", "node.json"))
    assert record["node"]["identity"]["account"] == network.ask("status")["nodes"][1]["account"]
    with pytest.raises(NodeError, match=r"node2: gone\.json: cannot be copied: .*gone\.json"):
        copied(network.path, "node2", "gone.json")


def test_up_on_a_network_that_runs_changes_no_pod(network: Network) -> None:
    before = {name: pod["metadata"]["uid"] for name, pod in network.release.pods().items()}
    network.run("up", "--timeout", f"{PATIENCE:g}")
    assert {name: pod["metadata"]["uid"] for name, pod in network.release.pods().items()} == before


def test_a_restarted_node_has_another_pod_and_is_who_it_was(network: Network) -> None:
    before = network.release.pod(1)
    account = network.ask("status")["nodes"][1]["account"]
    network.run("node", "restart", "node2")
    assert network.release.pod(1)["metadata"]["uid"] != before["metadata"]["uid"]
    eventually(lambda: network.ask("status")["nodes"][1]["state"] == "running", "node2 runs again")
    node = network.release.node(1)
    assert node and node["account"] == account


def test_a_node_that_lost_its_claim_is_told_and_replaced(network: Network) -> None:
    account = network.ask("status")["nodes"][3]["account"]
    network.release.kubectl("delete", "pvc", "data-bank-3", "--wait=false")
    network.release.delete_pods(3)
    eventually(lambda: (node := network.release.node(3)) and node["state"] == "exchanging", "node4 waits")
    network.run("node", "replace", "node4")
    eventually(lambda: network.ask("status")["nodes"][3]["state"] == "running", "node4 runs")
    assert network.ask("status")["nodes"][3]["account"] != account


@pytest.mark.parametrize("action", ["stop", "start"])
def test_what_a_stateful_set_cannot_do_is_said(network: Network, action: str) -> None:
    said = network.run("node", action, "node2", code=2).stderr
    assert "StatefulSet" in said
    assert "try: quorumkit" in said


def test_down_keeps_the_claims_and_up_goes_on_and_destroy_removes_them(network: Network) -> None:
    before = network.ask("status")["nodes"]
    assert network.ask("down")["stopped"] is True
    assert network.release.pods() == {}
    assert len(network.release.get("persistentvolumeclaims")["items"]) == 4
    assert network.ask("down")["stopped"] is False
    assert {node["state"] for node in network.ask("status")["nodes"]} == {"stopped"}
    after = network.ask("up", "--timeout", f"{PATIENCE:g}")["nodes"]
    assert [node["account"] for node in after] == [node["account"] for node in before]
    assert after[0]["block"] > before[0]["block"]
    assert "--yes" in network.run("destroy", str(network.path), code=2).stderr
    network.run("destroy", str(network.path), "--yes")
    assert not network.path.exists()
    eventually(lambda: not network.release.get("persistentvolumeclaims")["items"], "no claims are left")


def up_fails(network: Network, *options: str) -> str:
    began = time.monotonic()
    said = network.run("up", *options, code=1).stderr
    assert time.monotonic() - began < PATIENCE
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    return line


def test_a_missing_image_is_told_at_once_and_another_takes_its_place(make: Callable[[str], Network]) -> None:
    network = make("noimage")
    never = {"image": {"pullPolicy": "Never"}}
    network.write(validators=1, observers=0, image="quorumkit/node:no-such", values=never)
    assert "node1: image quorumkit/node:no-such not found" in up_fails(network)
    network.write(validators=1, observers=0, values=never)
    [node] = network.ask("up", "--timeout", f"{PATIENCE:g}")["nodes"]
    assert node["state"] == "running"


def test_pods_that_no_node_takes_are_told(make: Callable[[str], Network]) -> None:
    network = make("noroom")
    network.write(validators=1, observers=0, values={"nodeSelector": {"example/none": "here"}})
    said = network.run("up", "--timeout", "10", code=1).stderr
    progress, _, error = said.partition("error: ")
    assert "node1 is starting (unschedulable: 0/1 nodes are available" in error
    assert "unschedulable" in progress


def test_interrupted_up_leaves_no_pods(make: Callable[[str], Network]) -> None:
    network = make("ctrlc")
    network.write(validators=1, observers=0, values={"nodeSelector": {"example/none": "here"}})
    with subprocess.Popen([*COMMAND, "up", str(network.path)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "unschedulable" in line:
                process.send_signal(signal.SIGINT)
                break
        said = process.stderr.read()
    assert (process.returncode, said.splitlines()[-1]) == (130, "interrupted")
    assert network.release.kubectl("get", "statefulsets,pods,secrets", "--output=name") == ""


def test_a_crash_is_told_in_the_programs_words(make: Callable[[str], Network]) -> None:
    network = make("crash")
    network.write(validators=1, observers=0, values={"extraEnv": [{"name": "QUORUMKIT_HEALTH", "value": "nowhere"}]})
    assert "node1: crashed: --health: 'nowhere' is not HOST:PORT" in up_fails(network, "--timeout", f"{PATIENCE:g}")


def test_what_the_chart_refuses_is_told(make: Callable[[str], Network]) -> None:
    network = make("wrong")
    network.write(values={"spread": "wide"})
    assert "at '/spread'" in up_fails(network)


def test_a_namespace_that_allows_no_pods_is_told(make: Callable[[str], Network]) -> None:
    network = make("forbidden")
    network.write(validators=1, observers=0, values={"securityContext": {"allowPrivilegeEscalation": True}})
    line = up_fails(network, "--timeout", "10")
    assert 'violates PodSecurity "restricted' in line


def test_a_cluster_that_does_not_answer_is_told(tmp_path: Path, cluster: None) -> None:
    config = command("kubectl", "config", "view", "--minify", "--flatten").stdout
    broken = tmp_path / "config"
    lines = ["server: https://127.0.0.1:1" if "server:" in line else line.strip("\n") for line in config.splitlines()]
    broken.write_text("\n".join(f"    {line}" if line.startswith("server:") else line for line in lines))
    words = [*COMMAND, "up", str(tmp_path / "bank"), "--runtime", "kubernetes", *CLIQUE]
    environment = os.environ | {"KUBECONFIG": str(broken)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE, env=environment)
    assert done.returncode == 1
    assert "the cluster cannot be reached" in done.stderr
    assert not (tmp_path / "bank").exists()
