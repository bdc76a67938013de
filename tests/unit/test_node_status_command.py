"""`quorumkit node status`, as people run it in a pod."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quorumkit.cli.main import run
from quorumkit.node.status import NodeStatus
from quorumkit.providers.program import NodeProgram

Capture = pytest.CaptureFixture[str]

WAITING = NodeStatus("node3", 3, "validator", "exchanging", error="waits for the identity of node1, node2")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The directories whose node program was asked."""
    found: list[Path] = []

    async def call(self: NodeProgram, method: str, *params: Any) -> Any:
        assert method == "node_status"
        found.append(self.state)
        return [WAITING.to_json()]

    monkeypatch.setattr(NodeProgram, "call", call)
    return found


def test_a_node_that_is_not_ready_tells_why(
    asked: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("QUORUMKIT_NODE_DIR", "/node")
    assert run(["node", "status"]) == 0
    line = "node3: exchanging, block -, 0 of 0 peers; waits for the identity of node1, node2\n"
    assert capsys.readouterr().out == line
    assert asked == [Path("/node/.state")]


def test_machines_get_all_of_it(asked: list[Path], capsys: Capture) -> None:
    assert run(["node", "status", "somewhere", "--json"]) == 0
    [told] = json.loads(capsys.readouterr().out)
    assert NodeStatus.from_json(told) == WAITING
    assert asked == [Path("somewhere/.state")]


def test_without_a_directory_it_asks_which(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.delenv("QUORUMKIT_NODE_DIR", raising=False)
    assert run(["node", "status"]) == 2
    assert "which node's directory?" in capsys.readouterr().err


def test_where_nothing_runs_it_says_so(tmp_path: Path, capsys: Capture) -> None:
    assert run(["node", "status", str(tmp_path)]) == 1
    assert "not running" in capsys.readouterr().err
