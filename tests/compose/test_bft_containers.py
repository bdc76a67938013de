"""BFT consensus in containers that share nothing: two clients in each, killed with all that is in them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from projects import Project, docker

pytestmark = pytest.mark.compose

NODES = (1, 2, 3, 4)


@pytest.fixture
def project(new_project: Callable[[str], Project]) -> Project:
    project = new_project("bft")
    options = ["-n", "4", "--runtime", "compose", "--no-shared-data", "--consensus", "bft"]
    project.up(*options, "--name", project.name, "--verify")
    return project


def test_one_that_is_killed_comes_back_and_so_do_all(project: Project) -> None:
    for victims in ((2,), NODES):
        known = min(map(project.height, NODES))
        known_hash = project.block_hash(1, known)
        containers = [project.container(number)["Id"] for number in victims]
        docker("kill", *containers)
        docker("start", *containers)
        project.until(
            lambda statuses, known=known: all(  # type: ignore[misc]
                node["state"] == "running" and node["peers"] == 3 and node["block"] > known + 1
                for node in statuses.values()
            ),
            f"{victims} are back, and blocks go on",
        )
        assert {project.block_hash(number, known) for number in NODES} == {known_hash}
    project.verify()
