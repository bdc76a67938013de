"""Clique, named: what is tested on it, or on it because it starts quickest, does not change with the default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CLIQUE = ("--consensus", "clique")
"""Options of `init`, `up` and `node run`."""


def on_clique(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of a spec, with Clique where they name neither another consensus nor another client."""
    if spec.get("engine", {}).get("kind", "geth") != "geth":
        return dict(spec)
    return {**spec, "consensus": {"kind": "clique", **spec.get("consensus", {})}}
