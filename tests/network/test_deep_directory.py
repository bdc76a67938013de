"""A network in a directory whose path is longer than a unix socket's may be."""

from __future__ import annotations

from pathlib import Path

import pytest
from networks import brought_up

from support.goquorum import GOQUORUM, needs_goquorum

pytestmark = [
    pytest.mark.network,
    needs_goquorum,
]


def test_goquorum_and_its_manager_run_in_a_directory_of_any_depth(tmp_path: Path) -> None:
    path = tmp_path / ("d" * 150) / "bank"
    path.parent.mkdir()
    engine = ("--engine", "goquorum", "--consensus", "qbft", "--engine-binary", str(GOQUORUM))
    with brought_up(path, "-n", "2", *engine) as network:
        assert network.verify()["private"]["ok"] is True
