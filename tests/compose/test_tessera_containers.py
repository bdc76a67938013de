"""Tessera as a container beside each GoQuorum node. Needs GoQuorum 24.4.1 in QUORUMKIT_GOQUORUM, and in
QUORUMKIT_TESSERA_IMAGE an image of Tessera made as the official one is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from projects import Project, docker, eventually, quorumkit, run

from support.goquorum import GOQUORUM, needs_goquorum

IMAGE = os.environ.get("QUORUMKIT_TESSERA_IMAGE")
pytestmark = [
    pytest.mark.compose,
    needs_goquorum,
    pytest.mark.skipif(IMAGE is None, reason="QUORUMKIT_TESSERA_IMAGE names no image of Tessera"),
]


def test_nodes_have_their_private_contracts_from_it(
    new_project: Callable[[str], Project], without_plugin: dict[str, str]
) -> None:
    project = new_project("tessera")
    project.init(3, "--engine", "goquorum", "--engine-binary", str(GOQUORUM), "--transaction-manager", "tessera")
    spec = project.path / "quorumkit.yaml"
    spec.write_text(spec.read_text().replace("kind: tessera", f"kind: tessera\n  image: {IMAGE}"))
    project.up()
    assert project.verify()["private"]["ok"] is True

    def manager(what: str) -> str:
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={project.name}",
                       "--filter", "label=com.docker.compose.service=node2-tm").strip()  # fmt: skip
        return docker("inspect", "--format", what, found).strip()

    eventually(lambda: manager("{{.State.Health.Status}}") == "healthy", "a healthy manager")
    # Its socket is left, and does not keep the next one from listening.
    docker("kill", manager("{{.Id}}"))
    assert (project.node(2) / "tm/tm.ipc").exists()
    project.on_node("node stop", "node2")
    assert project.status()["node2"]["state"] == "stopped"
    project.on_node("node start", "node2")
    project.until_complete()
    assert project.verify()["private"]["ok"] is True
    assert quorumkit("down", project.path, "--json").json["stopped"] is True
    assert project.containers() == []

    if shutil.which("docker-compose") is not None:
        assert run("docker-compose", "version", "--short").out.startswith("1.29")
        project.up(env=without_plugin)
        assert project.verify()["private"]["ok"] is True
        quorumkit("down", project.path, env=without_plugin)
        assert project.containers() == []
