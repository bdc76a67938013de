"""The generated reference pages say what the code does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[2] / "scripts/reference.py"
_module_spec = importlib.util.spec_from_file_location("reference", _SCRIPT)
assert _module_spec and _module_spec.loader
reference = importlib.util.module_from_spec(_module_spec)
_module_spec.loader.exec_module(reference)


@pytest.mark.parametrize("path", sorted(reference.pages()), ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == reference.pages()[path], "run `make docs`"


def test_every_field_of_the_spec_is_explained() -> None:
    rows = [line for line in reference.spec_page().splitlines() if line.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
