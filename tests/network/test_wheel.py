"""The package as a stranger installs it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import release

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and a source distribution."""
    return release.build(tmp_path_factory.mktemp("dist"))


def test_a_wheel_carries_everything_that_is_no_code(built: tuple[Path, Path]) -> None:
    names = set(zipfile.ZipFile(built[0]).namelist())
    module = ("go.mod", "go.sum", "geth.go")
    assert {f"quorumkit/engines/geth/module/{name}" for name in module} <= names
    assert {f"quorumkit/contracts/{name}" for name in ("Storage.json", "Storage.sol", "storage.js")} <= names
    assert {f"quorumkit/engines/bft/validators/Validators.{kind}" for kind in ("json", "sol")} <= names
    assert {f"quorumkit/chart/{name}" for name in ("Chart.yaml", "values.yaml", "templates/statefulset.yaml")} <= names
    assert "quorumkit/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_a_source_distribution_gives_the_same_wheel(built: tuple[Path, Path], tmp_path: Path) -> None:
    wheel, source = built
    assert release.contents(release.wheel_of(source, tmp_path)) == release.contents(wheel)


def test_an_installed_wheel_works_without_the_source(built: tuple[Path, Path], tmp_path: Path) -> None:
    release.check_installed(built[0], tmp_path)
