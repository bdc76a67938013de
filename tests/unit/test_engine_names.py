"""Nothing outside an engine's folder knows its name: what wants to know of engines asks their list."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from quorumkit import engines
from quorumkit.engines import kinds

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/quorumkit"
NAMED = re.compile(rf"(?<![a-z])({'|'.join(map(re.escape, kinds()))})(?![a-z])", re.IGNORECASE)

ALLOWED = {
    "engines/__init__.py": {*kinds(), *(f".{kind}" for kind in kinds())},  # the list itself
    # What the help of `quorumkit tm` begins with, for the list of commands.
    "cli/main.py": {"The transaction manager for GoQuorum's private transactions."},
    # The layout of a node's directory, which is the same whichever client runs in it.
    "identity/store.py": {"data/geth/nodekey"},
}
"""By module, literals that name a kind all the same."""


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Every text in a module that is not only said: docstrings, and what stands below fields, are."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for each in ast.walk(tree):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in said:
            yield each.lineno, each.value
        if isinstance(each, ast.ImportFrom) and each.module:
            yield each.lineno, each.module


def named_in(path: Path, allowed: set[str]) -> list[str]:
    return [f"{path}:{line}: {text}" for line, text in literals(path) if NAMED.search(text) and text not in allowed]


def modules() -> list[str]:
    folders = [path for path in (PACKAGE / "engines").iterdir() if path.is_dir()]
    return [
        str(path.relative_to(PACKAGE))
        for path in sorted(PACKAGE.rglob("*.py"))
        if not any(path.is_relative_to(folder) for folder in folders)
    ]


def test_no_module_but_an_engines_own_names_it() -> None:
    found = [line for module in modules() for line in named_in(PACKAGE / module, ALLOWED.get(module, set()))]
    assert not found, "ask quorumkit.engines instead"


def test_what_is_allowed_is_still_there() -> None:
    for module, texts in ALLOWED.items():
        assert texts <= {text for _, text in literals(PACKAGE / module)}, module


def test_a_name_is_found(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text('"""Of geth."""\n\nif kind == "geth":\n    pass\nfrom quorumkit.engines.goquorum import recipe\n')
    assert sorted(line.rpartition("/")[2] for line in named_in(path, set())) == [
        "some.py:3: geth", "some.py:5: quorumkit.engines.goquorum",
    ]  # fmt: skip


def test_the_charts_templates_name_none_but_those_that_are_made_of_the_list() -> None:
    templates = ROOT / "charts/quorumkit/templates"
    for path in templates.rglob("*"):
        if path.is_file() and path.name != "_engines.tpl":
            assert not NAMED.search(path.read_text(encoding="utf-8")), path.name


def test_each_kind_is_a_package_with_all_three() -> None:
    for kind in kinds():
        for recipe in engines.recipes_of(kind):
            assert recipe.kind == kind
            assert recipe.consensus
            for consensus in recipe.consensus:
                assert engines.recipe_of(kind, consensus) is recipe
                assert engines.driver_of(kind, consensus)
                assert engines.acquirer_of(kind, consensus)
