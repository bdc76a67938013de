"""Containers on the consensus that is the default: no test here names one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from projects import Project, quorumkit

pytestmark = pytest.mark.compose


def test_four_nodes_are_verified_and_go_on(new_project: Callable[[str], Project]) -> None:
    project = new_project("default")
    up = project.up("-n", "4", "--runtime", "compose", "--name", project.name, "--verify", "--json")
    assert up.json["verify"]["reads"] == {f"node{number}": 42 for number in range(1, 5)}
    known = up.json["verify"]
    assert quorumkit("down", project.path, "--json").json["stopped"] is True
    project.compose("docker compose", "up", "-d")
    project.until_complete()
    assert project.verify()["block"] > known["block"]
    assert {project.block_hash(number, known["block"]) for number in range(1, 5)} == {known["block_hash"]}
