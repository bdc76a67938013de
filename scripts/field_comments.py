"""What stands below a model's fields in the source: the texts of the reference page and of the schema."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys

from pydantic import BaseModel


def comments_of(model: type[BaseModel]) -> dict[str, str]:
    """The strings that stand below the fields in the source, by field, each in one line."""
    tree = ast.parse(inspect.getsource(sys.modules[model.__module__]))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == model.__name__)
    found = {}
    for field, after in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(after.value.value).split())
    return found
