"""Nodes whose files went away: told with a reason, and mended when they are back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from projects import Project, Statuses, quorumkit

pytestmark = pytest.mark.compose


@contextmanager
def gone(path: Path) -> Iterator[None]:
    away = path.with_name(f"{path.name}.away")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def unreadable(path: Path) -> Iterator[None]:
    mode = path.stat().st_mode
    path.chmod(0)
    try:
        yield
    finally:
        path.chmod(mode)


def told(project: Project, number: int, reason: str) -> Statuses:
    """Once the node is called failed for that reason, in both forms; the others run."""
    name = f"node{number}"
    statuses = project.until(
        lambda nodes: nodes[name]["state"] == "failed" and reason in (nodes[name]["error"] or ""),
        f"{name} is failed: {reason}",
    )
    assert {status["state"] for status in statuses.values() if status["name"] != name} == {"running"}
    lines = quorumkit("status", project.path).out.splitlines()
    assert any(line.startswith(f"{name}: ") and reason in line for line in lines), lines
    return statuses


@pytest.mark.parametrize("file", ["data/geth/nodekey", "password", "geth.toml"])
def test_a_file_that_is_gone_is_named_where_it_lies_on_the_host(file: str, bank: Project) -> None:
    path = bank.node(4) / file
    with gone(path):
        bank.on_node("node restart", "node4")
        # geth names its configuration file itself, by the path it was given.
        told(bank, 4, "geth.toml" if file == "geth.toml" else str(path))
        # The program lives on and tries again: no container dies and is started anew, over and over.
        assert bank.container(4)["RestartCount"] == 0
    bank.until_complete()


def test_a_file_that_cannot_be_read_is_named(bank: Project) -> None:
    with unreadable(bank.node(5) / "data/geth/nodekey"):
        bank.on_node("node restart", "node5")
        told(bank, 5, "nodekey: Permission denied")
    bank.until_complete()


def test_a_directory_that_cannot_be_read_is_told_from_the_containers_end(bank: Project) -> None:
    with unreadable(bank.node(5)):
        bank.on_node("node restart", "node5")
        told(bank, 5, f"'{bank.node(5)}' is not readable")
    bank.until_complete()


def test_a_record_that_is_gone_is_told_and_the_other_nodes_with_it(bank: Project) -> None:
    with gone(bank.node(3) / "node.json"):
        statuses = bank.status()
        assert "cannot start again" in statuses["node3"]["error"]
        assert str(bank.node(3)) in statuses["node3"]["error"]
        assert statuses["node1"]["state"] == "running"
    bank.until_complete()
    assert bank.status()["node3"]["error"] is None
