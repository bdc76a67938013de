"""Progress as it is printed where there is no terminal, and what waiting tells."""

from __future__ import annotations

import pytest

from quorumkit.cli.output import ProgressLine
from quorumkit.node.status import NodeStatus, State
from quorumkit.stages.wait import _stage


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr("quorumkit.cli.output.time.monotonic", lambda: now[0])
    return now


def test_a_line_is_printed_when_it_changed_and_no_sooner_than_after_two_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = ProgressLine()
    for at, text, done in [
        (0.0, "starting clients", 0),
        (0.5, "starting clients: node1", 4),  # too soon
        (2.5, "starting clients: node1", 4),
        (9.0, "starting clients: node1", 4),  # nothing new
        (9.1, "waiting for peers", 0),  # a stage of its own
        (9.2, "waiting for peers: node2, node3", 3),
        (11.3, "waiting for peers: node3", 4),
    ]:
        clock[0] = 100.0 + at
        progress(text, done, 5)
    assert capsys.readouterr().err.splitlines() == [
        "starting clients (0/5)",
        "starting clients (4/5): node1",
        "waiting for peers (0/5)",
        "waiting for peers (4/5): node3",
    ]


def test_a_stage_may_have_no_count_and_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    ProgressLine()("removing files")
    ProgressLine(quiet=True)("never")
    assert capsys.readouterr().err == "removing files\n"


def node(number: int, state: State, peers: int | None = None) -> NodeStatus:
    return NodeStatus(f"node{number}", state=state, peers=peers, expected_peers=4)


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node(n, "starting") for n in range(1, 6)], ("starting clients", 0)),
        ([node(1, "running", 4), node(2, "restarting"), node(3, "starting")], ("starting clients: node2, node3", 1)),
        ([node(1, "syncing", 4), node(2, "waiting", 0), node(3, "running", 3)], ("waiting for peers: node2, node3", 1)),
        ([node(1, "running", 4), node(2, "syncing", 4)], ("waiting for blocks: node2", 1)),
        ([node(1, "running", 4), *(node(n, "waiting", 0) for n in range(2, 21))],
         ("waiting for peers: node2, node3, node4, 16 more", 1)),
        ([node(1, "running", 4)], ("waiting for blocks", 1)),
    ],
)  # fmt: skip
def test_waiting_names_the_nodes_that_are_late(nodes: list[NodeStatus], told: tuple[str, int]) -> None:
    assert _stage(nodes) == told
