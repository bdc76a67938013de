"""What tests on real clients share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from networks import RunningNetwork, destroy

from quorumkit.engines import Binary, acquirer_of, recipe_of
from quorumkit.progress import silent


@pytest.fixture(scope="session")
def geth() -> Binary:
    """The client, in the user's own cache: built by the first test run that needs it."""
    return acquirer_of("geth", "clique").acquire(recipe_of("geth", "clique").default_version, progress=silent)


@pytest.fixture
def new_network(geth: Binary, tmp_path: Path) -> Iterator[Callable[[str], RunningNetwork]]:
    """Makes networks of the test's own, which are gone when it ends. Nothing is in their directories yet."""
    made: list[Path] = []

    def make(name: str = "bank") -> RunningNetwork:
        made.append(tmp_path / name)
        return RunningNetwork(made[-1])

    yield make
    for path in made:
        destroy(path)
