"""What the chart knows of the engines, which cannot ask them itself: `templates/_engines.tpl`, and the values that its
schema takes for their kinds, consensus kinds and API modules. `chart_readme.py` writes them.
"""

from __future__ import annotations

import json
from typing import Any

from quorumkit.engines import kinds, recipe_of

_HEAD = """\
{{/* What each client can, as Quorumkit's recipes say it. Written by scripts/chart_readme.py; run `make docs` after a
     change. */}}
"""


def template() -> str:
    """The template's text."""
    known = {
        kind: {
            "version": recipe.default_version,
            "consensus": recipe.consensus,
            "privateTransactions": recipe.private_transactions,
            "apiModules": recipe.api_modules,
            "ourFlags": recipe.our_flags,
        }
        for kind in kinds()
        for recipe in [recipe_of(kind)]
    }
    text = json.dumps(known, indent=2)
    if "{{" in text:
        raise ValueError("a recipe holds what a template takes for an action of its own")
    return f'{_HEAD}{{{{- define "quorumkit.engines" -}}}}\n{text}\n{{{{- end -}}}}\n'


def put_into_schema(schema: dict[str, Any]) -> None:
    """Has the values' schema take what the engines have."""
    recipes = [recipe_of(kind) for kind in kinds()]
    consensus = dict.fromkeys(kind for recipe in recipes for kind in recipe.consensus)
    modules = list(dict.fromkeys(module for recipe in recipes for module in recipe.api_modules))
    network = schema["properties"]["network"]["properties"]
    network["engine"]["properties"]["kind"]["enum"] = list(kinds())
    network["consensus"]["properties"]["kind"]["enum"] = ["", *consensus, None]
    schema["definitions"]["modules"]["items"]["enum"] = modules
    schema["properties"]["rpc"]["properties"]["dangerousModules"]["items"]["enum"] = modules
