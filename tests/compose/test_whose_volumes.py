"""Two networks of one name: neither takes nor removes what is the other's."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from projects import Project, docker, quorumkit

from support.clique import CLIQUE

pytestmark = pytest.mark.compose


def volumes(project: Project) -> set[str]:
    return {name for name in docker("volume", "ls", "--quiet").split() if name.startswith(f"{project.name}_")}


def accounts(project: Project) -> list[str]:
    return [node["account"] for node in project.status().values()]


@pytest.fixture(scope="module")
def before_marks(new_project: Callable[[str], Project]) -> Project:
    """A network that was made before networks had marks, down again."""
    project = new_project("old")
    project.init(1, "--no-shared-data")
    compose = project.path / "compose.yaml"
    text, count = re.subn(r"(?m)^volumes:\n(  .*\n)+", "volumes:\n  node1: {}\n", compose.read_text())
    assert count == 1
    compose.write_text(text)
    (project.path / "network-id").unlink()
    project.compose("docker compose", "up", "-d")
    project.up()
    assert volumes(project) == {f"{project.name}_node1"}, "the volume stays as it is"
    quorumkit("down", project.path)
    return project


def test_another_network_of_that_name_has_volumes_of_its_own(before_marks: Project, tmp_path: Path) -> None:
    old, new = before_marks, Project(tmp_path / "new", before_marks.name)
    mine = accounts(old)
    new.up(*CLIQUE, "-n", "1", "--runtime", "compose", "--no-shared-data", "--name", new.name)
    assert accounts(new) != mine
    assert len(volumes(new)) == 2
    copy = Project(tmp_path / "copy", new.name)
    shutil.copytree(new.path, copy.path, ignore=shutil.ignore_patterns("*.sock"))
    quorumkit("down", new.path)

    refused = quorumkit("destroy", copy.path, "--yes", code=1).err
    assert f"{new.path} holds the same network" in refused
    assert f"rm -r {copy.path}" in refused
    shutil.rmtree(copy.path)

    quorumkit("destroy", new.path, "--yes")
    assert volumes(old) == {f"{old.name}_node1"}
    old.up()
    assert accounts(old) == mine
    quorumkit("down", old.path)


def test_a_network_whose_keys_are_gone_does_not_begin_anew(before_marks: Project) -> None:
    docker("volume", "rm", *volumes(before_marks))
    said = before_marks.up(code=1).err
    assert f"{before_marks.path}: its nodes' volumes are gone, and with them their keys" in said
    assert f"quorumkit destroy {before_marks.path}" in said
    assert volumes(before_marks) == set()
    assert before_marks.containers() == []
