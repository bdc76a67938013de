"""What tests on real clients share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from networks import RunningNetwork, destroy

from quorumkit.engines import Binary, acquirer_of, recipe_of
from quorumkit.errors import EngineError
from quorumkit.progress import silent


@pytest.fixture(scope="session")
def geth() -> Binary:
    """The client, in the user's own cache: built by the first test run that needs it."""
    return acquirer_of("geth", "clique").acquire(recipe_of("geth", "clique").default_version, progress=silent)


@pytest.fixture(scope="session")
def bft() -> Binary:
    """Current geth, and CometBFT beside it: what QUORUMKIT_BFT_GETH names, else likewise. Where they cannot be had,
    tests that need them are skipped; not in CI, where all is to be tried."""
    named = os.environ.get("QUORUMKIT_BFT_GETH")
    try:
        return acquirer_of("geth", "bft").acquire(
            recipe_of("geth", "bft").default_version, override=Path(named) if named else None, progress=silent
        )
    except EngineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{error.message}; {error.hint}")


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
