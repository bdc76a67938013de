"""What outlived a node program that was killed is found and ended, whatever it is, and nothing else is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quorumkit.node.info import INFO_NAME
from quorumkit.process_spec import MARK
from quorumkit.providers.program import NodeProgram

_SLEEP = "import time; time.sleep(300)"


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """The directory of a node whose program was killed."""
    directory = tmp_path / "nodes/node1"
    directory.mkdir(parents=True)
    (tmp_path / INFO_NAME).write_text(json.dumps({"pid": 2**22 + 1, "created": 0.0}))
    return directory


@pytest.fixture
def processes(node: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """By what they are: in the node's directory, but for the last."""

    def start(*words: str, mark: str = "", cwd: Path = node) -> subprocess.Popen[bytes]:
        environment = os.environ | ({MARK: mark} if mark else {})
        return subprocess.Popen([sys.executable, "-c", _SLEEP, *words], cwd=cwd, env=environment)

    made = {
        "of a group": start(mark="bridge"),
        "of an earlier version": start("--datadir", "data"),
        "somebody's": start(),
        "another network's": start("--datadir", "data", cwd=node.parent, mark="geth"),
    }
    yield made
    for process in made.values():
        process.kill()
        process.wait()


def test_those_of_the_nodes_are_ended(node: Path, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    program = NodeProgram(node.parent.parent, [node], network=node.parent.parent)
    found = {process.pid for process in program.orphans()}
    assert found == {processes[what].pid for what in ("of a group", "of an earlier version")}
    assert program.end_orphans() == 2
    assert {what for what, process in processes.items() if process.poll() is None} == {
        "somebody's",
        "another network's",
    }
    assert program.orphans() == []
