"""The package as a stranger installs it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.network

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT],
        check=True, timeout=600,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_a_wheel_carries_everything_that_is_no_code(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    module = ("go.mod", "go.sum", "geth.go")
    assert {f"quorumkit/engines/geth_module/{name}" for name in module} <= names
    assert {f"quorumkit/contracts/{name}" for name in ("Storage.json", "Storage.sol", "storage.js")} <= names
    assert {f"quorumkit/chart/{name}" for name in ("Chart.yaml", "values.yaml", "templates/statefulset.yaml")} <= names
    assert "quorumkit/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


def test_an_installed_wheel_works_without_the_source(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=600)
    bin_ = tmp_path / "venv/bin"
    subprocess.run(
        [bin_ / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel],
        check=True, timeout=600,
    )  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*arguments: str) -> str:
        return subprocess.run(
            [bin_ / "quorumkit", *arguments], check=True, capture_output=True, text=True, cwd=tmp_path,
            env=environment, timeout=600,
        ).stdout  # fmt: skip

    assert run("--version").startswith("quorumkit ")
    assert "node3  observer" in run("init", "-n", "2", "--observers", "1", "bank")
    assert '"ok"' in run("doctor", "--json")
    script = "from quorumkit.contracts import console_script, storage_contract as s; print(s().bytecode[:2])"
    assert subprocess.run(
        [bin_ / "python", "-P", "-c", script], check=True, capture_output=True, text=True, env=environment,
    ).stdout == "0x\n"  # fmt: skip
