"""What the linters are told to look at is all that there is."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]


def test_mypy_knows_every_folder_of_tests() -> None:
    """In one that it does not know, what lies beside a test has another name for it than for pytest. `support` is
    imported by that name."""
    folders = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "tests").rglob("*.py")}
    besides = {folder for folder in folders if not folder.startswith("tests/support")}
    assert besides <= set(TOOLS["mypy"]["mypy_path"])


def test_everything_written_in_python_is_type_checked() -> None:
    checked = {path.resolve() for name in TOOLS["mypy"]["files"] for path in (ROOT / name).rglob("*.py")}
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert {(ROOT / name).resolve() for name in listed.stdout.splitlines()} - checked == set()
