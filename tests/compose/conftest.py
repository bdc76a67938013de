"""What tests on a real container engine share. They take no port, subnet or name of anybody else's network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from projects import Bank, Built, Project, complete, quorumkit, run

from support.clique import CLIQUE


def _lacks() -> str | None:
    """Why these tests cannot run here, if they cannot."""
    for command in (["docker", "version"], ["docker", "compose", "version"]):
        if shutil.which("docker") is None:
            return "docker is not on PATH"
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            return f"{' '.join(command)}: {answer.stderr.strip().splitlines()[-1:]}"
    return None


@pytest.fixture(scope="session")
def engine() -> None:
    if lacking := _lacks():
        pytest.skip(lacking)


@pytest.fixture(scope="session")
def image(engine: None) -> Built:
    """Built once; anew where nobody waits for it, so that the test of that need not do it again."""
    anew = bool(os.environ.get("CI"))
    answer = quorumkit("image", "build", *CLIQUE, "--json", *(["--no-cache"] if anew else [])).json
    return Built(answer["tag"], answer["size"], answer["base"], anew)


@pytest.fixture(scope="session")
def new_project(image: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Project]]:
    """Makes projects that are gone at the end. Nothing is in their directories yet."""
    made: list[Project] = []

    def make(name: str) -> Project:
        project = Project(tmp_path_factory.mktemp("compose") / name, f"qk{os.getpid()}-{name}")
        made.append(project)
        return project

    yield make
    for project in made:
        project.leave_nothing()


@pytest.fixture(scope="session")
def started_bank(new_project: Callable[[str], Project]) -> Bank:
    project = new_project("bank")
    return Bank(project, project.up(*CLIQUE, "-n", "5", "--runtime", "compose", "--name", project.name, "--verify"))


@pytest.fixture
def bank(started_bank: Bank) -> Project:
    """The five nodes, complete: whatever an earlier test has done to them is mended."""
    project = started_bank.project
    if not complete(project.status()):
        project.until_complete()
    return project


@pytest.fixture(scope="session")
def generated(new_project: Callable[[str], Project]) -> Project:
    """A network of two that nobody starts."""
    project = new_project("still")
    project.init(2)
    return project


@pytest.fixture
def without_plugin(tmp_path: Path) -> dict[str, str]:
    """An environment in which `docker` knows no `compose`."""
    real = shutil.which("docker")
    script = tmp_path / "bin/docker"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\n[ "$1" = compose ] && exit 1\nexec {real} "$@"\n')
    script.chmod(0o755)
    return {"PATH": f"{script.parent}:{os.environ['PATH']}"}


@pytest.fixture
def docker_network() -> Iterator[Callable[[str], str]]:
    """Makes networks of the container engine's own, which are gone at the end."""
    made: list[str] = []

    def make(subnet: str) -> str:
        name = f"qk{os.getpid()}-foreign{len(made)}"
        run("docker", "network", "create", "--subnet", subnet, name)
        made.append(name)
        return name

    yield make
    for name in made:
        run("docker", "network", "rm", name, code=None)
