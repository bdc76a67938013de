"""A network whose spec is refused while it runs: it can be stopped and destroyed all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from networks import RunningNetwork, left_of, quorumkit

from support.clique import CLIQUE

pytestmark = pytest.mark.network

MISTYPED = "  alloc:\n    '0x52908400098527886E0F7030069857D2E4169Ee7': 1 ether\n"
"""An account whose capital letters, a checksum, do not fit its digits: an earlier version took it."""


def test_down_and_destroy_end_what_runs(new_network: Callable[[str], RunningNetwork], tmp_path: Path) -> None:
    network = new_network("bank")
    network.up(*CLIQUE, "-n", "2")
    spec = network.path / "quorumkit.yaml"
    right = spec.read_text()
    spec.write_text(right.replace("genesis:\n", "genesis:\n" + MISTYPED))

    result = quorumkit("down", network.path)
    assert (result.code, result.out) == (0, "bank: stopped\n")
    assert result.err.startswith(f"warning: {spec}: genesis.alloc.0x52908400098527886E0F7030069857D2E4169Ee7: ")
    assert left_of(network.path) == []

    spec.write_text(right)
    elsewhere = tmp_path / "disk/node2"
    elsewhere.parent.mkdir()
    network.node(2).rename(elsewhere)
    network.node(2).symlink_to(elsewhere)
    network.up()
    spec.write_text("name: bank\nnodes: 2 validators\n")
    result = quorumkit("destroy", network.path, "--yes")
    assert result.code == 0
    assert f"{elsewhere} is still there" in result.out
    assert (elsewhere / "password").exists()
    assert left_of(network.path) == []
    assert not network.path.exists()
