"""What stays as it was made: the genesis of a network, and who its release and claims belong to."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cluster import PATIENCE, Release, eventually

from support.clique import on_clique
from support.commands import COMMAND

LABEL = "quorumkit.org/network"


class Directory:
    """One, of a network of a single node."""

    def __init__(self, path: Path, namespace: str, image: str) -> None:
        path.mkdir(parents=True)
        self.path = path
        kubernetes = {"namespace": namespace, "image": image, "storage": "1Gi"}
        spec = {"name": "twin", "runtime": "kubernetes", "nodes": {"validators": 1}, "kubernetes": kubernetes}
        (path / "quorumkit.yaml").write_text(json.dumps(on_clique(spec)))

    def run(self, *words: str, code: int = 0) -> str:
        environment = os.environ | {"QUORUMKIT_NETWORK": str(self.path)}
        done = subprocess.run(
            [*COMMAND, *words], capture_output=True, text=True, check=False, timeout=3 * PATIENCE, env=environment
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stderr if code else done.stdout

    def up(self) -> str:
        nodes: list[dict[str, Any]] = json.loads(self.run("up", "--timeout", f"{PATIENCE:g}", "--json"))["nodes"]
        return str(nodes[0]["account"])


@pytest.fixture(scope="module")
def release(new_namespace: Callable[[], str]) -> Release:
    return Release(new_namespace(), "twin")


@pytest.fixture(scope="module")
def one(release: Release, image: str, tmp_path_factory: pytest.TempPathFactory) -> Directory:
    """A network that is up."""
    directory = Directory(tmp_path_factory.mktemp("one") / "twin", release.namespace, image)
    directory.up()
    return directory


def test_what_the_genesis_says_is_not_changed(release: Release, one: Directory) -> None:
    spec, pod = json.loads((one.path / "quorumkit.yaml").read_text()), release.pod(0)
    (one.path / "quorumkit.yaml").write_text(json.dumps({**spec, "consensus": {"kind": "clique", "period": 5}}))
    assert "error: consensus.period: 5 gives another genesis" in one.run("up", code=1)
    (one.path / "quorumkit.yaml").write_text(json.dumps(spec))
    for setting, named in {
        "network.consensus.period=5": "network.consensus.period: this network was made with 1, and cannot change to 5",
        "network.chainId=7": "network.chainId: this network was made with 1337",
        'network.engine.kind="goquorum"': "network.engine.kind: this network was made with geth",
        'network.genesis.alloc={"0x00000000000000000000000000000000000000aa": "1"}': "network.genesis.alloc: ",
    }.items():
        assert named in release.install("--reuse-values", "--set-json", setting, code=1).stderr
    release.install("--reuse-values", "--set", "network.engine.cache=256")  # what is no part of it may change

    # Where nothing is looked up beforehand, the pod that is restarted refuses.
    config = release.get("configmap", "twin-spec")
    was = config["data"]["quorumkit.yaml"]
    changed = json.dumps({"data": {"quorumkit.yaml": was.replace("period: 1", "period: 5")}})
    release.kubectl("patch", "configmap", "twin-spec", "--patch", changed)
    release.delete_pods(0)
    assert release.pod(0)["metadata"]["uid"] != pod["metadata"]["uid"]
    told = eventually(lambda: release.last_words(0), "the pod ended")
    assert "consensus.period: 5 gives another genesis" in told
    release.kubectl("patch", "configmap", "twin-spec", "--patch", json.dumps({"data": {"quorumkit.yaml": was}}))
    release.delete_pods(0)
    release.whole(1)


def test_what_is_another_networks_is_left_alone(release: Release, one: Directory, image: str, tmp_path: Path) -> None:
    account, other = one.up(), Directory(tmp_path / "other/twin", release.namespace, image)
    for words in (["up"], ["down"], ["destroy", str(other.path), "--yes"]):
        assert "another network is named twin here" in other.run(*words, code=1)
    assert len(release.pods()) == 1

    # A release and claims from before there were marks are its own if the nodes are those that are known.
    release.kubectl("label", "statefulset,pvc", "--all", f"{LABEL}-")
    assert "a network named twin is here already, and is not known to be this network's" in other.run("up", code=1)
    one.run("down")
    [claim] = release.get("persistentvolumeclaims")["items"]
    assert claim["metadata"]["labels"][LABEL] == (one.path / "network-id").read_text().strip()

    assert "another network named twin left data-twin-0" in other.run("up", code=1)
    by_hand = release.install("--set", "replicaCount=1", code=1).stderr
    assert f"set network.id={claim['metadata']['labels'][LABEL]} to go on with it" in by_hand
    other.run("destroy", str(other.path), "--yes")
    assert len(release.get("persistentvolumeclaims")["items"]) == 1

    release.kubectl("label", "pvc", "--all", f"{LABEL}-")
    assert one.up() == account
    [claim] = release.get("persistentvolumeclaims")["items"]
    assert LABEL in claim["metadata"]["labels"]

    one.run("down")
    release.kubectl("delete", "pvc", "--all")
    assert "its nodes' claims are gone, and with them their keys" in one.run("up", code=1)
    assert release.pods() == {}
    one.run("destroy", str(one.path), "--yes")
