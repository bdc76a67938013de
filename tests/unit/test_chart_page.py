"""The chart's README says what values.yaml does."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

from quorumkit.engines import kinds, recipe_of


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[2] / "scripts/chart_readme.py"
    spec = importlib.util.spec_from_file_location("chart_readme", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["chart_readme"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_it_is_up_to_date(script: ModuleType) -> None:
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run `make docs`"
    assert script.SCHEMA.read_text(encoding="utf-8") == script.schema(), "run `make docs`"


def test_what_it_knows_of_the_engines_is_what_their_recipes_say(script: ModuleType) -> None:
    assert script.ENGINES.read_text(encoding="utf-8") == script.template(), "run `make docs`"
    values, chart = (
        YAML(typ="safe", pure=True).load((script.CHART / name).read_text(encoding="utf-8"))
        for name in ("values.yaml", "Chart.yaml")
    )
    default = recipe_of(kinds()[0])
    assert values["network"]["engine"]["kind"] == default.kind
    assert chart["appVersion"].endswith(f"-{default.kind}{default.default_version}")


def test_every_value_has_a_row_and_a_place_in_the_schema(script: ModuleType) -> None:
    schema = json.loads((script.CHART / "values.schema.json").read_bytes())
    for value in script.documented_values():
        at = schema
        for part in value.path.split("."):
            assert part in at["properties"], value.path
            at = at["properties"][part]
        assert len(value.text) > 3


def test_a_value_without_a_comment_is_found(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "values.yaml").write_text("# -- Said.\none: 1\nsome:\n  # -- Said.\n  more: 2\n  secret: 3\n")
    monkeypatch.setattr(script, "CHART", tmp_path)
    with pytest.raises(ValueError, match=r"some\.secret has no"):
        script.documented_values()
