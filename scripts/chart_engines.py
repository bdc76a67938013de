"""What the chart knows of the engines, which cannot ask them itself: `templates/_engines.tpl`, and the values that its
schema takes for their kinds, consensus kinds and API modules. `chart_readme.py` writes them.
"""

from __future__ import annotations

import json
from typing import Any

from quorumkit.engines import consensus_kinds, kinds, recipes, recipes_of
from quorumkit.spec import EngineSpec, GenesisSpec

_HEAD = """\
{{/* What each client can, as Quorumkit's recipes say it. Written by scripts/chart_readme.py; run `make docs` after a
     change. */}}
"""

_UNMARKED = {"geth": "clique", "goquorum": "qbft"}
"""What a network is of that nobody named a consensus kind for, by a chart that did not yet mark what it made."""


def template() -> str:
    """The template's text."""
    known = {kind: _of(kind) for kind in kinds()}
    text = json.dumps(known, indent=2)
    if "{{" in text:
        raise ValueError("a recipe holds what a template takes for an action of its own")
    return f'{_HEAD}{{{{- define "quorumkit.engines" -}}}}\n{text}\n{{{{- end -}}}}\n'


def _of(kind: str) -> dict[str, Any]:
    """By consensus kind, what an engine can with it; `all` names those kinds, the default first; `unmarked`
    the one of networks that have no mark of theirs."""
    by = {consensus: recipe for recipe in recipes_of(kind) for consensus in recipe.consensus}
    known = {
        consensus: {
            "version": recipe.default_version,
            "privateTransactions": recipe.private_transactions,
            "apiModules": recipe.api_modules,
            "ourFlags": recipe.our_flags,
            "state": recipe.spec_defaults.get("engine", {}).get("state", EngineSpec().state),
            "gasLimit": recipe.spec_defaults.get("genesis", {}).get("gas_limit", GenesisSpec().gas_limit),
            "freeGas": recipe.spec_defaults.get("genesis", {}).get("free_gas", False),
            "ports": {name: port.number for name, port in recipe.ports(consensus).items()},
        }
        for consensus, recipe in by.items()
    }
    return {"all": " ".join(by), "unmarked": _UNMARKED.get(kind, ""), **known}


def put_into_schema(schema: dict[str, Any]) -> None:
    """Has the values' schema take what the engines have."""
    consensus = consensus_kinds()
    modules = list(dict.fromkeys(module for recipe in recipes() for module in recipe.api_modules))
    network = schema["properties"]["network"]["properties"]
    network["engine"]["properties"]["kind"]["enum"] = list(kinds())
    network["consensus"]["properties"]["kind"]["enum"] = ["", *consensus, None]
    schema["definitions"]["modules"]["items"]["enum"] = modules
    schema["properties"]["rpc"]["properties"]["dangerousModules"]["items"]["enum"] = modules
