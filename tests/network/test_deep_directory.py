"""A network in a directory whose path is longer than a unix socket's may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from networks import brought_up

BINARY = os.environ.get("QUORUMKIT_GOQUORUM")
pytestmark = [
    pytest.mark.network,
    pytest.mark.skipif(BINARY is None, reason="QUORUMKIT_GOQUORUM names no GoQuorum binary"),
]


def test_goquorum_and_its_manager_run_in_a_directory_of_any_depth(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 150) / "bank"
    path.parent.mkdir()
    engine = ("--engine", "goquorum", "--consensus", "qbft", "--engine-binary", str(BINARY))
    with brought_up(path, "-n", "2", *engine) as network:
        assert network.verify()["private"]["ok"] is True
