"""GoQuorum in containers, each with its transaction manager. Needs a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from projects import Project

from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = [
    pytest.mark.compose,
    needs_goquorum,
]


@pytest.fixture
def quorum(new_project: Callable[[str], Project]) -> Callable[..., Project]:
    def make(name: str, consensus: str, *arguments: str) -> Project:
        project = new_project(name)
        engine = ("--engine", "goquorum", "--consensus", consensus, "--engine-binary", str(GOQUORUM))
        project.up("-n", "4", "--runtime", "compose", "--name", project.name, *engine, *arguments)
        return project

    return make


def reads(project: Project) -> dict[str, Any]:
    private: dict[str, Any] = project.verify()["private"]
    assert private["ok"] is True
    return dict(private["reads"])


@pytest.mark.parametrize("consensus", ["qbft", "raft"])
def test_a_private_contract_is_read_by_its_parties_alone(quorum: Callable[..., Project], consensus: str) -> None:
    project = quorum(f"private-{consensus}", consensus)
    assert reads(project) == {"node1": 42, "node2": 42, "node3": None, "node4": None}
    project.compose("docker compose", "restart")
    project.until_complete()
    assert reads(project)["node2"] == 42


@pytest.mark.parametrize("consensus", ["qbft", "raft"])
def test_nothing_is_shared_and_a_moved_node_is_found_again(quorum: Callable[..., Project], consensus: str) -> None:
    """Client, raft and transaction manager of the node that moves are all party to the private contract."""
    project = quorum(f"moved-{consensus}", consensus, "--no-shared-data")
    assert reads(project) == {"node1": 42, "node2": 42, "node3": None, "node4": None}
    assert not list(project.path.rglob("tm.key"))
    with project.moved(2):
        assert reads(project)["node2"] == 42
