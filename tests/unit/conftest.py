"""What unit tests share. None of them touches the user's own cache."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples import fixed_addresses, spec_of

from quorumkit.directory import NetworkDirectory
from quorumkit.identities.generated import generate
from quorumkit.progress import silent


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    path = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("QUORUMKIT_CACHE", str(path))
    monkeypatch.delenv("QUORUMKIT_NETWORK", raising=False)
    return path


@pytest.fixture
def generated(tmp_path: Path) -> NetworkDirectory:
    """A network directory with three validators and an observer."""
    directory = NetworkDirectory(tmp_path / "bank")
    generate(directory, spec_of(3, 1), fixed_addresses, silent)
    return directory
