"""Containers of validators that end at once and come back: up to as many as blocks go on without, and more.

The GoQuorum ones need a GoQuorum 24.4.1 binary in QUORUMKIT_GOQUORUM.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from projects import Project, docker, eventually

from support.clique import CLIQUE
from support.goquorum import GOQUORUM, needs_goquorum
from support.validators_away import UP_TO_F_AND_MORE, goes_on, settled

pytestmark = pytest.mark.compose


NODES = (1, 2, 3, 4)


def restart(project: Project, victims: tuple[int, ...]) -> None:
    """Stopped and started again, as they are."""
    containers = [project.container(number)["Id"] for number in victims]
    docker("stop", *containers)
    docker("start", *containers)
    assert [project.container(number)["Id"] for number in victims] == containers


def create_again(project: Project, victims: tuple[int, ...]) -> None:
    """Killed, removed, and made anew on their volumes."""
    containers = [project.container(number)["Id"] for number in victims]
    docker("rm", "--force", *containers)
    project.compose("docker compose", "up", "-d", *(f"node{number}" for number in victims))
    assert not {project.container(number)["Id"] for number in victims} & set(containers)


@pytest.mark.parametrize(
    "consensus", ["geth", *(pytest.param(kind, marks=needs_goquorum) for kind in ("clique", "qbft", "ibft", "raft"))]
)
def test_blocks_go_on_after_up_to_f_validators_were_restarted_or_created_again_at_once_and_after_more(
    new_project: Callable[[str], Project], consensus: str
) -> None:
    project = new_project(f"away-{consensus}")
    engine = list(CLIQUE) if consensus == "geth" else [
        "--engine", "goquorum", "--consensus", consensus, "--engine-binary", str(GOQUORUM),
    ]  # fmt: skip
    project.up("-n", "4", "--runtime", "compose", "--no-shared-data", "--name", project.name, *engine)
    for send_away, rounds in ((restart, UP_TO_F_AND_MORE), (create_again, UP_TO_F_AND_MORE[1::2])):
        for victims in rounds:
            known = settled(map(project.height, NODES))
            known_hash = project.block_hash(1, known)
            send_away(project, victims)
            project.until_complete()
            assert {project.block_hash(number, known) for number in NODES} == {known_hash}
            if consensus != "raft":  # makes blocks for transactions alone
                goes_on(project.height, NODES, eventually, f"{send_away.__name__} {victims}: blocks go on")
    project.verify()
