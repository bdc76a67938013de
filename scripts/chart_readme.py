"""Writes charts/quorumkit/README.md: what stands in README.md.in beside it, and a table made of the comments in
values.yaml. The same comments become the descriptions in values.schema.json, which editors show. And what the chart
knows of the engines (`chart_engines.py`).

    make docs

A comment that begins with `# --` describes the value below it, or everything below a map's name. A test compares the
files with what this gives.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from chart_engines import put_into_schema, template

CHART = Path(__file__).resolve().parent.parent / "charts/quorumkit"
PAGE = CHART / "README.md"
SCHEMA = CHART / "values.schema.json"
ENGINES = CHART / "templates/_engines.tpl"
_PLACE = "<!-- values -->\n"


@dataclass(frozen=True)
class Value:
    """One row of the table."""

    path: str
    default: Any
    text: str


def page() -> str:
    """The page's text."""
    head, _, tail = (CHART / "README.md.in").read_text(encoding="utf-8").partition(_PLACE)
    rows = "".join(f"| `{value.path}` | {_cell(value.default)} | {value.text} |\n" for value in documented_values())
    return f"{head}| Value | Default | What it does |\n| --- | --- | --- |\n{rows}{tail}"


def schema() -> str:
    """The schema's text, with its descriptions and what the engines have."""
    whole = json.loads(SCHEMA.read_text(encoding="utf-8"))
    put_into_schema(whole)
    for value in documented_values():
        at = whole
        for part in value.path.split("."):
            at = at["properties"][part]
        rest = {key: inner for key, inner in at.items() if key != "description"}
        at.clear()
        at.update({"description": value.text, **rest})
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def documented_values() -> list[Value]:
    """Every value that has a `# --` comment, in the file's order.

    Raises:
        ValueError: a value has none, and no map above it has one either.
    """
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    defaults = YAML(typ="safe", pure=True).load(text)
    found = [Value(path, _at(defaults, path), said) for path, said in _comments(text)]
    covered = {value.path for value in found}
    for path in _leaves(defaults):
        parts = path.split(".")
        if not any(".".join(parts[:end]) in covered for end in range(1, len(parts) + 1)):
            raise ValueError(f"values.yaml: {path} has no `# --` comment")
    return found


def _comments(text: str) -> Iterator[tuple[str, str]]:
    """Paths and what is said of them."""
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            said = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("#") and said:
            said.append(stripped.removeprefix("#").strip())
        elif match := re.match(r"( *)([A-Za-z]\w*):", line):
            indent = len(match[1])
            path = [(depth, name) for depth, name in path if depth < indent] + [(indent, match[2])]
            if said:
                yield ".".join(name for _, name in path), " ".join(said)
            said = []
        else:
            said = []


def _at(values: Any, path: str) -> Any:
    for part in path.split("."):
        values = values[part]
    return values


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else name)
    else:
        yield path


def _cell(default: Any) -> str:
    if isinstance(default, dict) and default:
        return "see values.yaml"
    return f"`{json.dumps(default)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
    ENGINES.write_text(template(), encoding="utf-8")
