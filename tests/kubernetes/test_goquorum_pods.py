"""GoQuorum as pods, each with its transaction manager. Needs a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import LOADER, PATIENCE, Release, command
from going_away import go_away_and_come_back

from quorumkit.engines import acquirer_of, recipe_of
from quorumkit.image import build_image
from quorumkit.image.build import image_tag
from quorumkit.progress import silent
from quorumkit.spec import parse_spec
from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = needs_goquorum
ENGINE = parse_spec({"name": "bank", "engine": {"kind": "goquorum"}}).engine


@pytest.fixture(scope="module")
def goquorum_image(image: str) -> str:
    tag = image_tag(ENGINE.kind, ENGINE.version)
    binary = acquirer_of(ENGINE.kind).acquire(ENGINE.version, override=Path(str(GOQUORUM)), progress=silent)
    build_image(tag, recipe_of(ENGINE.kind), binary, silent)
    command(*shlex.split(os.environ[LOADER]), tag)
    return tag


@pytest.fixture
def release(goquorum_image: str, new_namespace: Callable[[], str]) -> Iterator[Release]:
    made = Release(new_namespace())
    yield made
    command("helm", "--namespace", made.namespace, "uninstall", made.name, "--ignore-not-found")
    made.kubectl("delete", "pods", "--all", "--grace-period=1", "--ignore-not-found")


@pytest.mark.parametrize("consensus", ["qbft", "raft"])
def test_pods_that_come_back_elsewhere_are_found_again_by_client_raft_and_manager(
    release: Release, goquorum_image: str, consensus: str
) -> None:
    tag = goquorum_image.rpartition(":")[2]
    kinds = f"network.engine.kind=goquorum,network.consensus.kind={consensus}"
    release.install("--set", f"image.tag={tag},replicaCount=4,{kinds}")
    nodes = release.whole(4)
    keys = {node["tm_key"] for node in nodes}
    assert len(keys) == 4
    assert None not in keys
    release.test()
    addresses = {name: pod["status"]["podIP"] for name, pod in release.pods().items()}
    release.delete_pods(0, 1)
    nodes = release.whole(4)
    assert {node["tm_key"] for node in nodes} == keys
    moved = {name for name, pod in release.pods().items() if pod["status"]["podIP"] != addresses[name]}
    assert moved == {"mynet-0", "mynet-1"}
    # Its private contract is from the first for the second.
    release.test()
    release.install("--set", f"image.tag={tag},replicaCount=5,{kinds}")
    assert release.whole(5)[4]["role"] == "observer"
    release.test()


@pytest.mark.parametrize("consensus", ["clique", "qbft", "ibft", "raft"])
def test_validators_that_end_at_once_come_back(release: Release, goquorum_image: str, consensus: str) -> None:
    kinds = f"network.engine.kind=goquorum,network.consensus.kind={consensus}"
    release.install("--set", f"image.tag={goquorum_image.rpartition(':')[2]},replicaCount=4,{kinds}")
    release.whole(4)
    go_away_and_come_back(release, blocks_on_demand=consensus == "raft")


def test_the_command_line_verifies_a_private_contract(
    goquorum_image: str, new_namespace: Callable[[], str], tmp_path: Path
) -> None:
    path = tmp_path / "bank"
    path.mkdir()
    spec = {
        "name": "bank",
        "runtime": "kubernetes",
        "nodes": {"validators": 4, "observers": 1},
        "engine": {"kind": "goquorum"},
        "kubernetes": {"namespace": new_namespace(), "image": goquorum_image, "storage": "1Gi"},
    }
    (path / "quorumkit.yaml").write_text(json.dumps(spec))
    try:
        private = json.loads(quorumkit("up", path, "--verify", "--json", "--timeout", f"{PATIENCE:g}"))["verify"][
            "private"
        ]
        assert private["ok"] is True
        assert private["reads"] == {"node1": 42, "node2": 42, "node3": None, "node4": None, "node5": None}
    finally:
        quorumkit("destroy", path, "--yes")


def quorumkit(*words: str | Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "quorumkit", *map(str, words)], capture_output=True, text=True, check=False,
        timeout=3 * PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
