"""What unit tests share. None of them touches the user's own cache."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from samples import fixed_addresses, spec_of

from quorumkit.container_engine import compose_command
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


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Puts shell scripts, by name, on a PATH that has no others."""
    monkeypatch.setenv("PATH", str(tmp_path))
    compose_command.cache_clear()

    def put(name: str, script: str) -> None:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    yield put
    compose_command.cache_clear()


def pytest_runtest_setup() -> None:
    """py-evm and what it imports, some of it only when it is needed, raise Python's limit, for calls a thousand deep:
    with that, what is nested without end would overflow the stack of another test in the same process."""
    sys.setrecursionlimit(1000)
